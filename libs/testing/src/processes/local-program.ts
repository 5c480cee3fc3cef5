import { execFile } from 'node:child_process';
import { access, constants, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describeError } from '@nest-baton/core';

/** A program that can be run, with what it needs to. */
export interface LocalProgram {
  readonly file: string;
  readonly env: Readonly<Record<string, string>>;
  /** Where it was found, for reports. */
  readonly origin: string;
}

/** The first of `names` that may be run in `folder`. */
export async function executableIn(folder: string, names: readonly string[]): Promise<string | undefined> {
  for (const name of names) {
    const file = join(folder, name);
    const isThere = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return file;
  }
  return undefined;
}

/** The program of Debian's packages unpacked under `root`, with the libraries beside it; `undefined` unless it runs here. */
export async function unpackedProgram(
  root: string,
  names: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<LocalProgram | undefined> {
  const folders = ['bin', 'sbin'].map((name) => join(root, 'usr', name));
  const found = await Promise.all(folders.map((folder) => executableIn(folder, names)));
  const file = found.find((one) => one !== undefined);
  if (file === undefined) return undefined;
  const lib = join(root, 'usr', 'lib');
  const libraries = (await readdir(lib).catch(() => [])).map((name) => join(lib, name));
  const program = { file, env: { ...env, LD_LIBRARY_PATH: libraries.join(':') }, origin: 'Debian packages' };
  const runs = await promisify(execFile)(file, ['--version'], { env: program.env }).catch((error: unknown) =>
    describeError(error),
  );
  return typeof runs === 'string' ? undefined : program;
}
