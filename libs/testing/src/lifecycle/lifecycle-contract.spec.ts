import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:net';
import { PollLoop } from '@nest-baton/core';
import { openGate } from '../waiting/gate.js';
import { lifecycleContract } from './lifecycle-contract.js';
import type { LifecycleAbility, LifecycleSubject } from './lifecycle-subject.js';

const ALL: readonly LifecycleAbility[] = ['work', 'notify', 'runOnce', 'hold', 'fail'];

const SHORT = { patienceMs: 200, cleanWithinMs: 100 };

/** Work that lies in a list, and passes that take all of it. */
class Desk {
  readonly gate = openGate();
  private waiting = 0;
  private done = 0;
  private isNextBroken = false;

  addWork = (): void => void this.waiting++;
  workDone = (): number => this.done;
  failNextPass = (): void => void (this.isNextBroken = true);

  pass = async (): Promise<void> => {
    if (this.isNextBroken) {
      this.isNextBroken = false;
      throw new Error('the pass is broken');
    }
    const taken = this.waiting;
    this.waiting = 0;
    await this.gate.pass();
    this.done += taken;
  };
}

function pollLoop(): LifecycleSubject {
  const desk = new Desk();
  const loop = new PollLoop({
    name: 'baton:test:default:contract',
    pass: desk.pass,
    intervalMs: 3_600_000,
    onError: () => undefined,
  });
  return {
    ...desk,
    start: () => loop.start(),
    stop: () => loop.stop(),
    notify: () => loop.notify(),
    runOnce: () => loop.runOnce(),
  };
}

describe('the lifecycle contract, kept by core’s PollLoop:', () => {
  it.each(lifecycleContract(pollLoop, { asks: ALL }))('$title', ({ run }) => run());
});

/** Which cases a subject fails. */
async function failures(create: () => LifecycleSubject): Promise<string[]> {
  const failed: string[] = [];
  for (const { title, run } of lifecycleContract(create, { asks: ALL, ...SHORT })) {
    try {
      await run();
    } catch (error) {
      failed.push(`${title}: ${(error as Error).message}`);
    }
  }
  return failed;
}

/** A loop with one fault, put over a sound one. */
function broken(fault: (sound: LifecycleSubject) => Partial<LifecycleSubject>) {
  return () => {
    const sound = pollLoop();
    return { ...sound, ...fault(sound) };
  };
}

describe('the lifecycle contract, broken:', () => {
  it.each<[string, string, (sound: LifecycleSubject) => Partial<LifecycleSubject>]>([
    [
      'a start() after stop() that runs',
      'start() after stop() is a no-op',
      (sound) => {
        let loop = sound;
        const loops = [sound];
        let isUsed = false;
        return {
          start: () => {
            if (isUsed) loops.push((loop = { ...pollLoop(), addWork: sound.addWork!, workDone: sound.workDone! }));
            isUsed = true;
            return loop.start();
          },
          dispose: () => Promise.all(loops.map((one) => one.stop())),
          stop: () => loop.stop(),
          open: () => ({ loops: loop === sound ? 0 : 1 }),
        };
      },
    ],
    [
      'a stop() that does not wait',
      'stop() while a pass runs returns only',
      (sound) => ({ stop: () => void sound.stop() }),
    ],
    [
      'a notify() that is lost during a pass',
      'notify() during a pass is not lost',
      (sound) => ({ notify: () => void (sound.gate!.heldCount === 0 && sound.notify!()) }),
    ],
    ['a runOnce() that runs nothing', 'runOnce() sees the work', () => ({ runOnce: async () => undefined })],
    [
      'a runOnce() that swallows the error',
      'runOnce() throws what its pass throws',
      (sound) => ({ runOnce: () => sound.runOnce!().then(undefined, () => undefined) }),
    ],
    [
      'a stop() that throws the second time',
      'stop() twice',
      (sound) => {
        let stops = 0;
        return { stop: () => (++stops === 2 ? Promise.reject(new Error('not running')) : sound.stop()) };
      },
    ],
  ])('finds %s', async (_title, title, fault) => {
    const failed = await failures(broken(fault));
    expect(failed).toContainEqual(expect.stringContaining(title));
  });

  it.each<[string, RegExp, () => unknown, (opened: never) => void]>([
    ['a timer', /Timeout opened/, () => setTimeout(() => undefined, 60_000), (timer) => clearTimeout(timer)],
    [
      'a timer that does not hold the process',
      /Timeout opened\s+at .*lifecycle-contract\.spec/,
      () => setInterval(() => undefined, 60_000).unref(),
      (timer) => clearInterval(timer),
    ],
    [
      'a server',
      /TCPSERVERWRAP opened/,
      () => createServer().listen(0, '127.0.0.1'),
      (server: Server) => server.close(),
    ],
    [
      'a listener on process',
      /process\.on\('SIGUSR2'\): 1, 0 before/,
      () => {
        const listener = () => undefined;
        process.on('SIGUSR2', listener);
        return listener;
      },
      (listener) => process.off('SIGUSR2', listener),
    ],
  ])('finds %s left behind, and says where it is from', async (_what, message, open, close) => {
    const opened: unknown[] = [];
    const subject = { start: () => opened.push(open()), stop: () => undefined };
    const [first] = lifecycleContract(() => subject, SHORT);
    try {
      await expect(first!.run()).rejects.toThrow(message);
    } finally {
      for (const one of opened) close(one as never);
    }
  });

  it('finds what the subject counts itself, and tells when it cannot be asked', async () => {
    let open = 0;
    const subject = { start: () => open++, stop: () => undefined, open: () => ({ connections: open }) };
    await expect(lifecycleContract(() => subject, SHORT)[0]!.run()).rejects.toThrow('connections: 1 open, 0 before');
    const asked = lifecycleContract(() => ({ start: () => undefined, stop: () => undefined }), { asks: ['hold'] });
    await expect(asked[0]!.run()).rejects.toThrow(assert.AssertionError);
  });
});
