import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isReachableByAll } from '../../../libs/testing/src/postgres/postgres-binaries.js';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../../..');
const NEEDED = ['node_modules', 'libs', 'test', 'package.json', 'tsconfig.json'];

/**
 * A checkout that any account may enter: this one, or, where it lies in a closed folder as temporary clones do, a copy of what a run needs. Hard links
 * where the file system allows them: node_modules is large.
 */
export async function openCheckout(): Promise<{ readonly root: string; remove(): Promise<void> }> {
  if (await isReachableByAll(ROOT)) return { root: ROOT, remove: () => Promise.resolve() };
  const root = await mkdtemp(join(tmpdir(), 'baton-checkout-'));
  await chmod(root, 0o755);
  for (const name of NEEDED) {
    const copy = (flags: string) => run('cp', [flags, join(ROOT, name), root]);
    await copy('-al').catch(() => copy('-a'));
  }
  return { root, remove: () => rm(root, { recursive: true }) };
}
