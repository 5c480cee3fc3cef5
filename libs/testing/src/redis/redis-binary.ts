import { resolve } from 'node:path';
import type { TestingEnvironment } from '../environment.js';
import { provideFromDebian } from '../processes/debian-packages.js';
import { executableIn, type LocalProgram, unpackedProgram } from '../processes/local-program.js';

/** Its origin: `REDIS_BIN_DIR`, a folder, or `Debian packages`. */
export type RedisBinary = LocalProgram;

/** For whoever has none. */
export const REDIS_BINARY_REMEDY =
  'Install redis-server (Debian: apt-get install redis-server), or name its folder in REDIS_BIN_DIR.';

const NAMES = ['redis-server', 'valkey-server'];
const DEBIAN = { name: 'redis', packages: ['redis-server', 'redis-tools', 'liblzf1', 'libjemalloc2'] };
const USUAL_FOLDERS = ['/usr/bin', '/usr/local/bin', '/opt/homebrew/bin'];

/** `REDIS_BIN_DIR` alone where it is set; else `PATH`, the usual folders, and Debian's packages unpacked into a cache folder. */
export async function findRedisBinary(
  environment: TestingEnvironment,
): Promise<RedisBinary | { readonly reason: string }> {
  const env = { PATH: environment.path };
  const given = environment.redisBinDir;
  if (given !== undefined) {
    const file = await executableIn(given, NAMES);
    if (file !== undefined) return { file: resolve(file), env, origin: 'REDIS_BIN_DIR' };
    return { reason: `REDIS_BIN_DIR is ${given}, where no redis-server is found` };
  }
  for (const folder of [...environment.path.split(':').filter((one) => one !== ''), ...USUAL_FOLDERS]) {
    const file = await executableIn(folder, NAMES);
    if (file !== undefined) return { file, env, origin: folder };
  }
  const provided = await provideFromDebian(
    DEBIAN,
    environment,
    process.cwd(),
    async (root) => (await unpackedProgram(root, NAMES, env)) !== undefined,
  );
  if ('reason' in provided) return { reason: `redis-server is not on PATH, and ${provided.reason}` };
  const binary = await unpackedProgram(provided.root, NAMES, env);
  return binary ?? { reason: `what was unpacked into ${provided.root} does not run` };
}
