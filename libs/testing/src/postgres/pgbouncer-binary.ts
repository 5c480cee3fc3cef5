import { cp, mkdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { TestingEnvironment } from '../environment.js';
import type { Account } from '../processes/account.js';
import { provideFromDebian } from '../processes/debian-packages.js';
import { executableIn, type LocalProgram, unpackedProgram } from '../processes/local-program.js';
import type { TempFolder } from '../processes/temp-folder.js';
import { isReachableByAll } from './postgres-binaries.js';

const NAMES = ['pgbouncer'];
const DEBIAN = { name: 'pgbouncer', packages: ['pgbouncer', 'libc-ares2', 'libevent-2.1-7'] };
/** Debian keeps it where only root's PATH leads. */
const USUAL_FOLDERS = ['/usr/sbin', '/usr/bin', '/usr/local/bin', '/opt/homebrew/bin'];

/** `PATH`, the usual folders, and Debian's packages unpacked into a cache folder. Its origin: a folder, or `Debian packages`. */
export async function findPgbouncer(
  environment: TestingEnvironment,
  { start = process.cwd(), usualFolders = USUAL_FOLDERS }: { start?: string; usualFolders?: readonly string[] } = {},
): Promise<LocalProgram | { readonly reason: string }> {
  const env = { PATH: environment.path };
  for (const folder of [...environment.path.split(':').filter((one) => one !== ''), ...usualFolders]) {
    const file = await executableIn(folder, NAMES);
    if (file !== undefined) return { file, env, origin: folder };
  }
  const provided = await provideFromDebian(
    DEBIAN,
    environment,
    start,
    async (root) => (await unpackedProgram(root, NAMES, env)) !== undefined,
  );
  if ('reason' in provided) return { reason: `pgbouncer is not on PATH, and ${provided.reason}` };
  const program = await unpackedProgram(provided.root, NAMES, env);
  return program ?? { reason: `what was unpacked into ${provided.root} does not run` };
}

/** Itself, or a copy with its libraries where `account` may not enter its folder. */
export async function runnableBy(
  account: Account | undefined,
  program: LocalProgram,
  folder: TempFolder,
): Promise<LocalProgram> {
  if (account === undefined || (await isReachableByAll(dirname(program.file)))) return program;
  const target = join(folder.path, 'program');
  await mkdir(target);
  const libraries = program.env['LD_LIBRARY_PATH']?.split(':') ?? [];
  for (const library of libraries) await cp(library, target, { recursive: true, verbatimSymlinks: true });
  const file = join(target, basename(program.file));
  await cp(program.file, file);
  return { ...program, file, env: { ...program.env, LD_LIBRARY_PATH: target } };
}
