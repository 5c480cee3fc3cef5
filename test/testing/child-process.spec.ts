import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { type ChildWorker, startProcess, waitFor } from '@nest-baton/testing';
import { isAlive } from './support/leftovers.js';

const SLEEPER = fileURLToPath(new URL('./support/sleeper.mjs', import.meta.url));
const SOURCE = fileURLToPath(new URL('./support/typescript-entry.ts', import.meta.url));

describe('a program in a process of its own', () => {
  const started: ChildWorker[] = [];

  async function start(options: Parameters<typeof startProcess>[0]): Promise<ChildWorker> {
    const child = await startProcess(options);
    started.push(child);
    return child;
  }

  afterEach(async () => {
    await Promise.all(started.splice(0).map((child) => child.stop()));
  });

  it('gets its arguments, and of the environment only the path, the folders and what is given', async () => {
    process.env['BATON_SECRET_OF_THE_PARENT'] = 'x';
    const child = await start({ entry: SLEEPER, args: ['a', 'b c'], env: { GIVEN: '1' }, cwd: tmpdir() });
    const { pid, args, env, cwd } = JSON.parse(await child.waitForLine(/^\{/)) as Record<string, unknown>;
    delete process.env['BATON_SECRET_OF_THE_PARENT'];
    expect(pid).toBe(child.pid);
    expect(args).toEqual(['a', 'b c']);
    expect(Object.keys(env as object).sort()).toEqual(['GIVEN', 'HOME', 'PATH', 'TMPDIR']);
    expect(cwd).toBe(tmpdir());
  });

  it('runs TypeScript from sources, wherever it is started', async () => {
    for (const cwd of [undefined, tmpdir()]) {
      const child = await start({ entry: SOURCE, cwd });
      expect(await child.exited).toEqual({ code: 7, signal: null });
      expect(child.lines).toEqual(['metadata Dependency duration 2000']);
    }
  });

  it('shows the lines of both streams, also those printed before anyone waited', async () => {
    const child = await start({ entry: SLEEPER });
    await child.waitForLine(/also on stderr/);
    expect(await child.waitForLine(/"pid"/g)).toBe(await child.waitForLine(/"pid"/g));
    expect(child.lines).toHaveLength(2);
    child.signal('SIGTERM');
    await child.waitForLine(/told to stop/);
    expect(await child.exited).toEqual({ code: 3, signal: null });
    expect(child.hasExited).toBe(true);
  });

  it('is killed in the middle of its work', async () => {
    const child = await start({ entry: SLEEPER });
    await child.waitForLine(/pid/);
    expect(child.hasExited).toBe(false);
    expect(child.signal('SIGKILL')).toBe(true);
    expect(await child.exited).toEqual({ code: null, signal: 'SIGKILL' });
    expect(isAlive(child.pid)).toBe(false);
    expect(child.signal('SIGKILL')).toBe(false);
  });

  it('does nothing while it is stopped, and is stopped for good even then', async () => {
    const child = await start({ entry: SLEEPER });
    await child.waitForLine(/pid/);
    child.signal('SIGSTOP');
    child.signal('SIGTERM');
    await expect(child.waitForLine(/told to stop/, 300)).rejects.toMatchObject({ code: 'WAIT_TIMEOUT' });
    child.signal('SIGCONT');
    await child.waitForLine(/told to stop/);
    const frozen = await start({ entry: SLEEPER });
    await frozen.waitForLine(/pid/);
    frozen.signal('SIGSTOP');
    await frozen.stop();
    await frozen.stop();
    expect(frozen.hasExited).toBe(true);
  });

  it('says at once, with the last lines, that a line cannot come any more', async () => {
    const child = await start({ entry: SOURCE });
    await expect(child.waitForLine(/never printed/, 20_000)).rejects.toMatchObject({
      code: 'PROCESS_ENDED',
      message: expect.stringMatching(/with code 7 .*\nmetadata Dependency/s) as string,
    });
  });

  it('cannot be started in a folder that does not exist', async () => {
    await expect(startProcess({ entry: SLEEPER, cwd: '/does/not/exist' })).rejects.toMatchObject({
      code: 'PROCESS_ENDED',
    });
  });

  it('prints what Node says about an entry that does not exist', async () => {
    const child = await start({ entry: '/does/not/exist.mjs' });
    expect((await child.exited).code).toBe(1);
    await waitFor(() => child.lines.some((line) => line.includes('/does/not/exist.mjs')), {
      description: 'the reason',
    });
  });
});
