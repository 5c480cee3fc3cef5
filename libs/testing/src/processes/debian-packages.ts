import { execFile } from 'node:child_process';
import { lstatSync } from 'node:fs';
import { access, constants, mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { describeError, randomToken } from '@nest-baton/core';
import type { TestingEnvironment } from '../environment.js';

const run = promisify(execFile);

export interface DebianSoftware {
  /** Of its cache folder. */
  readonly name: string;
  /** It and the libraries that a bare Debian or Ubuntu lacks. */
  readonly packages: readonly string[];
}

const COMMAND_TIMEOUT_MS = 120_000;

/**
 * A folder with Debian's packages unpacked, filled once (a few MB, about 3 s) and kept: `node_modules/.cache/<name>` of the nearest package, or one
 * under the temp folder where that is not writable. Needs neither root nor an installed package, only `apt-get` and `dpkg`.
 *
 * Two processes may start at once: each downloads into a folder of its own and renames it; who comes second takes what is there.
 */
export async function provideFromDebian(
  { name, packages }: DebianSoftware,
  environment: TestingEnvironment,
  start: string,
  isUsable: (root: string) => Promise<boolean>,
): Promise<{ readonly root: string } | { readonly reason: string }> {
  const candidates = await cacheFolders(start, name);
  for (const root of candidates) if (await isUsable(root)) return { root };
  const root = await firstWritable(candidates);
  if (root === undefined) return { reason: `no cache folder is writable (${candidates.join(', ')})` };
  const own = `${root}.${process.pid}-${randomToken(6)}`;
  try {
    await download(own, environment.path, packages);
    const unpacked = join(own, 'root');
    if (!(await isUsable(unpacked))) return { reason: `the ${name} of apt-get’s packages does not run here` };
    await rename(unpacked, root).catch(async (error: unknown) => {
      if (await isUsable(root)) return;
      // What lies there is a broken remainder: nobody can be using it.
      await rm(root, { recursive: true, force: true });
      await rename(unpacked, root).catch(() => {
        throw error;
      });
    });
    return { root };
  } catch (error) {
    return { reason: `apt-get could not provide it (${describeError(error)})` };
  } finally {
    await rm(own, { recursive: true, force: true });
  }
}

/** The place that survives first. The one in the temp folder, where any account may write, counts only while it is our own. */
async function cacheFolders(start: string, name: string): Promise<readonly string[]> {
  const folders: string[] = [];
  for (let folder = start; ; folder = dirname(folder)) {
    const modules = join(folder, 'node_modules');
    const isThere = await stat(modules).then(
      (found) => found.isDirectory(),
      () => false,
    );
    if (isThere) folders.push(join(modules, '.cache', name));
    if (isThere || folder === dirname(folder)) break;
  }
  const { uid } = userInfo();
  const shared = resolve(tmpdir(), `baton-cache-${uid}`);
  if (isOwn(shared, uid)) folders.push(join(shared, name));
  return folders;
}

function isOwn(folder: string, uid: number): boolean {
  const found = lstatSync(folder, { throwIfNoEntry: false });
  return found === undefined || (found.isDirectory() && found.uid === uid);
}

async function firstWritable(roots: readonly string[]): Promise<string | undefined> {
  for (const root of roots) {
    const isWritable = await mkdir(dirname(root), { recursive: true, mode: 0o755 })
      .then(() => access(dirname(root), constants.W_OK))
      .then(
        () => true,
        () => false,
      );
    if (isWritable) return root;
  }
  return undefined;
}

/** Private lists and caches, so that nothing of the system's is needed or changed. */
async function download(own: string, path: string, packages: readonly string[]): Promise<void> {
  await mkdir(join(own, 'lists', 'partial'), { recursive: true });
  await mkdir(join(own, 'cache', 'archives', 'partial'), { recursive: true });
  const options = { cwd: own, env: { PATH: path, LC_ALL: 'C' }, timeout: COMMAND_TIMEOUT_MS };
  const settings = [`Dir::State::lists=${own}/lists`, `Dir::Cache=${own}/cache`];
  settings.push('Debug::NoLocking=1', 'APT::Sandbox::User=');
  const apt = (...args: string[]) =>
    run('apt-get', [...settings.flatMap((setting) => ['-o', setting]), '-q', ...args], options);
  await apt('update');
  await apt('download', ...packages);
  const archives = (await readdir(own)).filter((name) => name.endsWith('.deb'));
  for (const archive of archives) await run('dpkg', ['-x', archive, 'root'], options);
}
