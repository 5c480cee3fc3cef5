import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readTestingEnvironment } from '../environment.js';
import { provideFromDebian } from './debian-packages.js';

/** Stands for the real program: takes its time, writes an archive, counts its calls. */
const APT = `#!/bin/sh
for last; do :; done
case "$*" in
  *update*) echo "$*" >> "$CALLS" ;;
  *) sleep 0.3; for name in redis-server redis-tools; do echo archive > "$name.deb"; done ;;
esac
`;
const REDIS = { name: 'redis', packages: ['redis-server', 'redis-tools'] };
const DPKG = '#!/bin/sh\nmkdir -p "$3/usr/bin"; sleep 0.1; echo "from $2" > "$3/usr/bin/redis-server"\n';

describe('provideFromDebian', () => {
  let folder: string;
  let environment: ReturnType<typeof readTestingEnvironment>;

  const isUsable = (root: string) =>
    readFile(join(root, 'usr/bin/redis-server'), 'utf8').then(
      (text) => text.startsWith('from '),
      () => false,
    );

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'baton-debian-packages-'));
    await mkdir(join(folder, 'bin'));
    await mkdir(join(folder, 'node_modules'));
    await mkdir(join(folder, 'deep', 'er'), { recursive: true });
    await writeFile(join(folder, 'bin/apt-get'), APT.replace('"$CALLS"', join(folder, 'calls')));
    await writeFile(join(folder, 'bin/dpkg'), DPKG);
    for (const name of ['apt-get', 'dpkg']) await chmod(join(folder, 'bin', name), 0o755);
    environment = readTestingEnvironment({ PATH: `${folder}/bin:/usr/bin:/bin` });
  });

  afterEach(() => rm(folder, { recursive: true }));

  const calls = async () => (await readFile(join(folder, 'calls'), 'utf8')).trim().split('\n').length;

  it('fills the cache of the nearest node_modules once, and finds it again', async () => {
    const root = join(folder, 'node_modules/.cache/redis');
    expect(await provideFromDebian(REDIS, environment, join(folder, 'deep/er'), isUsable)).toEqual({ root });
    expect(await provideFromDebian(REDIS, environment, folder, isUsable)).toEqual({ root });
    expect(await calls()).toBe(1);
  });

  it('gives the same whole folder to several who start at once, and leaves nothing else', async () => {
    const all = await Promise.all(
      Array.from({ length: 4 }, () => provideFromDebian(REDIS, environment, folder, isUsable)),
    );
    const root = join(folder, 'node_modules/.cache/redis');
    expect(all).toEqual(all.map(() => ({ root })));
    expect(await isUsable(root)).toBe(true);
    expect(await calls()).toBe(4);
    expect(await readdir(join(folder, 'node_modules/.cache'))).toEqual(['redis']);
  });

  it('replaces what was left broken', async () => {
    await mkdir(join(folder, 'node_modules/.cache/redis/usr'), { recursive: true });
    const root = join(folder, 'node_modules/.cache/redis');
    expect(await provideFromDebian(REDIS, environment, folder, isUsable)).toEqual({ root });
    expect(await isUsable(root)).toBe(true);
  });

  it('says why when there is no apt-get, and leaves nothing behind', async () => {
    const none = readTestingEnvironment({ PATH: join(folder, 'deep') });
    const outcome = await provideFromDebian(REDIS, none, folder, isUsable);
    expect(outcome).toEqual({ reason: expect.stringContaining('ENOENT') as string });
    expect(await readdir(join(folder, 'node_modules/.cache'))).toEqual([]);
  });
});
