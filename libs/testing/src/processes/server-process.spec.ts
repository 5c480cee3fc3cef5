import { tmpdir } from 'node:os';
import { ServerProcess, type ServerProgram } from './server-process.js';

/** A program that runs until it is ended, whatever its server would say. */
function sleeper(isReady: () => Promise<boolean>, settings: Partial<ServerProgram> = {}): ServerProcess {
  return new ServerProcess({
    name: 'sleeper',
    file: process.execPath,
    args: ['-e', 'console.log("up"); setInterval(() => {}, 60_000)'],
    env: {},
    cwd: tmpdir(),
    account: undefined,
    endSignal: 'SIGKILL',
    isReady,
    ...settings,
  });
}

const never = () => new Promise<boolean>(() => undefined);
const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe('ServerProcess', () => {
  it.each([
    ['is not ready', () => Promise.resolve(false)],
    ['takes a question and never answers', never],
    ['breaks the question', () => Promise.reject(new Error('hung up'))],
  ])('gives a server up that %s, with its last words, and leaves no process', async (_what, isReady) => {
    let pid = 0;
    const server: ServerProcess = sleeper(
      () => {
        pid = server.pid ?? pid;
        return isReady();
      },
      { readyTimeoutMs: 500 },
    );
    await expect(server.up()).rejects.toMatchObject({
      code: 'BACKEND_FAILED',
      message: expect.stringContaining('sleeper was not ready after 500 ms'),
    });
    expect([server.isRunning, isAlive(pid)]).toEqual([false, false]);
  });

  it('says what there is of a program that is not there', async () => {
    const server = sleeper(never, { file: '/nowhere/redis-server', readyTimeoutMs: 500 });
    await expect(server.up()).rejects.toMatchObject({ code: 'BACKEND_FAILED' });
    await server.down();
    await server.end();
  });

  it('ended while it comes up, is gone, and whoever waited learns of it', async () => {
    const server = sleeper(never);
    const up = server.up();
    const pid = server.pid ?? 0;
    await Promise.all([expect(up).rejects.toMatchObject({ code: 'BACKEND_FAILED' }), server.end()]);
    expect(isAlive(pid)).toBe(false);
  });

  it('ended while it goes down, never comes up again', async () => {
    const server = sleeper(() => Promise.resolve(true));
    await server.up();
    const restarted = server.down().then(() => server.up());
    await Promise.all([
      expect(restarted).rejects.toMatchObject({ message: 'sleeper was stopped for good.' }),
      server.end(),
    ]);
    expect(server.isRunning).toBe(false);
    await server.end();
  });

  it('cannot be frozen where it does not run; to thaw it does no harm', async () => {
    const server = sleeper(() => Promise.resolve(true));
    expect(() => server.freeze()).toThrow('sleeper is dead and cannot be frozen.');
    server.thaw();
    await server.up();
    server.freeze();
    await server.end();
    expect(() => server.freeze()).toThrow('sleeper is dead');
  });
});
