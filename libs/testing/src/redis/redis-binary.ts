import { execFile } from 'node:child_process';
import { access, constants, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { describeError } from '@nest-baton/core';
import type { TestingEnvironment } from '../environment.js';
import { provideFromDebian } from './debian-packages.js';

export interface RedisBinary {
  readonly file: string;
  readonly env: Readonly<Record<string, string>>;
  /** Where it was found, for reports: `REDIS_BIN_DIR`, a folder, or `Debian packages`. */
  readonly origin: string;
}

/** For whoever has none. */
export const REDIS_BINARY_REMEDY =
  'Install redis-server (Debian: apt-get install redis-server), or name its folder in REDIS_BIN_DIR.';

const NAMES = ['redis-server', 'valkey-server'];
const USUAL_FOLDERS = ['/usr/bin', '/usr/local/bin', '/opt/homebrew/bin'];

/** `REDIS_BIN_DIR` alone where it is set; else `PATH`, the usual folders, and Debian's packages unpacked into a cache folder. */
export async function findRedisBinary(
  environment: TestingEnvironment,
): Promise<RedisBinary | { readonly reason: string }> {
  const env = { PATH: environment.path };
  const given = environment.redisBinDir;
  if (given !== undefined) {
    const file = await serverIn(given);
    if (file !== undefined) return { file: resolve(file), env, origin: 'REDIS_BIN_DIR' };
    return { reason: `REDIS_BIN_DIR is ${given}, where no redis-server is found` };
  }
  for (const folder of [...environment.path.split(':').filter((one) => one !== ''), ...USUAL_FOLDERS]) {
    const file = await serverIn(folder);
    if (file !== undefined) return { file, env, origin: folder };
  }
  const provided = await provideFromDebian(
    environment,
    process.cwd(),
    async (root) => (await unpacked(root, env)) !== undefined,
  );
  if ('reason' in provided) return { reason: `redis-server is not on PATH, and ${provided.reason}` };
  const binary = await unpacked(provided.root, env);
  return binary ?? { reason: `what was unpacked into ${provided.root} does not run` };
}

async function serverIn(folder: string): Promise<string | undefined> {
  for (const name of NAMES) {
    const file = join(folder, name);
    const isThere = await access(file, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return file;
  }
  return undefined;
}

/** The server under `root` with the libraries unpacked beside it; `undefined` unless it can be run. */
async function unpacked(root: string, env: Readonly<Record<string, string>>): Promise<RedisBinary | undefined> {
  const file = await serverIn(join(root, 'usr', 'bin'));
  if (file === undefined) return undefined;
  const lib = join(root, 'usr', 'lib');
  const folders = (await readdir(lib).catch(() => [])).map((name) => join(lib, name));
  const binary = { file, env: { ...env, LD_LIBRARY_PATH: folders.join(':') }, origin: 'Debian packages' };
  const runs = await promisify(execFile)(file, ['--version'], { env: binary.env }).catch((error: unknown) =>
    describeError(error),
  );
  return typeof runs === 'string' ? undefined : binary;
}
