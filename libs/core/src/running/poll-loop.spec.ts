import { jest } from '@jest/globals';
import { Injectable, Module, type Provider } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import fc from 'fast-check';
import { PollLoop, type PollLoopOptions } from './poll-loop.js';

const NAME = 'baton:test:default:loop';
const loops: PollLoop[] = [];

interface Gate {
  open(): void;
  fail(error: unknown): void;
}

/** A loop whose passes wait at gates until the test lets each one go on. */
class GatedLoop {
  readonly gates: Gate[] = [];
  readonly signals: AbortSignal[] = [];
  readonly errors: unknown[] = [];
  running = 0;
  mostRunning = 0;
  readonly loop: PollLoop;

  constructor(options: Partial<PollLoopOptions> = {}) {
    this.loop = startedLater({
      pass: (signal) => this.pass(signal),
      onError: (error) => void this.errors.push(error),
      ...options,
    });
  }

  get passes(): number {
    return this.gates.length;
  }

  private async pass(signal: AbortSignal): Promise<void> {
    this.mostRunning = Math.max(this.mostRunning, ++this.running);
    this.signals.push(signal);
    try {
      await new Promise<void>((open, fail) => this.gates.push({ open, fail }));
    } finally {
      this.running--;
    }
  }
}

function startedLater(options: Partial<PollLoopOptions>): PollLoop {
  const loop = new PollLoop({
    name: NAME,
    pass: async () => undefined,
    intervalMs: 1_000,
    jitter: 0,
    onError: (error) => {
      throw error;
    },
    ...options,
  });
  loops.push(loop);
  return loop;
}

const settle = () => jest.advanceTimersByTimeAsync(0);

beforeEach(() => void jest.useFakeTimers());
afterEach(async () => {
  await Promise.all(loops.splice(0).map((loop) => Promise.race([loop.stop(), Promise.resolve()])));
  jest.useRealTimers();
});

describe('PollLoop: when passes run', () => {
  it('runs the first pass at once and the next an interval after its end', async () => {
    const gated = new GatedLoop();
    gated.loop.start();
    gated.loop.start();
    expect(gated.passes).toBe(1);
    await jest.advanceTimersByTimeAsync(5_000);
    expect(gated.passes).toBe(1);
    gated.gates[0]!.open();
    await jest.advanceTimersByTimeAsync(999);
    expect(gated.passes).toBe(1);
    await jest.advanceTimersByTimeAsync(1);
    expect(gated.passes).toBe(2);
    expect(gated.mostRunning).toBe(1);
  });

  it('asks for the interval after each pass and adds jitter to it', async () => {
    let passes = 0;
    const intervals = [100, 1_000, 0];
    const loop = startedLater({
      pass: async () => void passes++,
      intervalMs: () => intervals.shift() ?? 0,
      jitter: 0.5,
      random: () => 0.5,
    });
    loop.start();
    await jest.advanceTimersByTimeAsync(124);
    expect(passes).toBe(1);
    await jest.advanceTimersByTimeAsync(1);
    expect(passes).toBe(2);
    await jest.advanceTimersByTimeAsync(1_250);
    expect(passes).toBe(3);
    await jest.advanceTimersByTimeAsync(100_000);
    expect(passes).toBe(3);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('waits between one interval and a tenth more, whatever chance says, unless told otherwise', async () => {
    const waits: number[] = [];
    for (let i = 0; i <= 200; i++) {
      let passes = 0;
      const pass = async () => void passes++;
      const loop = new PollLoop({
        name: NAME,
        pass,
        intervalMs: () => 1_000,
        onError: () => undefined,
        random: () => i / 200,
      });
      loop.start();
      await settle();
      const from = Date.now();
      while (passes < 2) await jest.advanceTimersToNextTimerAsync();
      waits.push(Date.now() - from);
      await loop.stop();
    }
    expect(Math.min(...waits)).toBe(1_000);
    expect(Math.max(...waits)).toBe(1_100);
    expect(new Set(waits).size).toBeGreaterThan(90);
  });

  it('runs a pass that was asked for during a pass directly after it, and only one however often it was', async () => {
    const gated = new GatedLoop({ intervalMs: 0 });
    gated.loop.start();
    for (let i = 0; i < 5; i++) gated.loop.notify();
    gated.gates[0]!.open();
    await settle();
    expect(gated.passes).toBe(2);
    gated.gates[1]!.open();
    await settle();
    expect(gated.passes).toBe(2);
    gated.loop.notify();
    expect(gated.passes).toBe(3);
  });

  it('does not start a second pass inside a pass that notifies before it returns its promise', async () => {
    let running = 0;
    let passes = 0;
    const loop = startedLater({
      intervalMs: 0,
      pass: async () => {
        expect(++running).toBe(1);
        if (++passes < 3) loop.notify();
        await Promise.resolve();
        running--;
      },
    });
    loop.start();
    await settle();
    expect(passes).toBe(3);
  });

  it('ignores notify() before start and after stop', async () => {
    const gated = new GatedLoop();
    gated.loop.notify();
    expect(gated.passes).toBe(0);
    await gated.loop.stop();
    gated.loop.notify();
    gated.loop.start();
    expect(gated.passes).toBe(0);
  });

  it.each([Infinity, 2 ** 31, 1e15])(
    'does not spin with an interval of %d ms, longer than a timer can be',
    async (intervalMs) => {
      let passes = 0;
      startedLater({ pass: async () => void passes++, intervalMs }).start();
      await jest.advanceTimersByTimeAsync(86_400_000);
      expect(passes).toBe(1);
    },
  );

  it('goes on each second when the interval throws or is no number', async () => {
    const errors: unknown[] = [];
    let passes = 0;
    const intervals = [
      () => {
        throw new Error('no interval');
      },
      () => NaN,
      () => 0,
    ];
    startedLater({
      pass: async () => void passes++,
      intervalMs: () => intervals.shift()!(),
      onError: (error) => errors.push(error),
    }).start();
    await jest.advanceTimersByTimeAsync(1_000);
    expect([passes, errors]).toEqual([2, [expect.objectContaining({ message: 'no interval' })]]);
    await jest.advanceTimersByTimeAsync(999);
    expect(passes).toBe(2);
    await jest.advanceTimersByTimeAsync(1);
    expect(passes).toBe(3);
  });
});

describe('PollLoop: a pass that fails', () => {
  it.each<[string, () => Promise<void>]>([
    ['rejects', async () => Promise.reject(new Error('boom'))],
    [
      'throws before it returns a promise',
      () => {
        throw new Error('boom');
      },
    ],
  ])('tells onError when it %s, and goes on after the interval', async (_title, pass) => {
    const errors: unknown[] = [];
    startedLater({ pass, onError: (error) => errors.push(error) }).start();
    await settle();
    expect(errors).toEqual([expect.objectContaining({ message: 'boom' })]);
    await jest.advanceTimersByTimeAsync(1_000);
    expect(errors).toHaveLength(2);
  });

  it('survives an onError that throws', async () => {
    const warn = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    let passes = 0;
    const loop = startedLater({
      pass: async () => {
        passes++;
        throw new Error('boom');
      },
      onError: () => {
        throw new Error('the report is broken');
      },
    });
    loop.start();
    await jest.advanceTimersByTimeAsync(1_000);
    expect(passes).toBe(2);
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('the report is broken'), { type: 'BatonWarning' });
    await loop.stop();
    warn.mockRestore();
  });

  it.each([
    [0, 1_000],
    [50, 50],
    [60_000, 1_000],
  ])(
    'with interval %d ms answers a notify() during it after %d ms, neither lost nor at once',
    async (intervalMs, pause) => {
      const gated = new GatedLoop({ intervalMs });
      gated.loop.start();
      gated.loop.notify();
      gated.gates[0]!.fail(new Error('boom'));
      await jest.advanceTimersByTimeAsync(pause - 1);
      expect(gated.passes).toBe(1);
      await jest.advanceTimersByTimeAsync(1);
      expect(gated.passes).toBe(2);
    },
  );
});

describe('PollLoop: runOnce', () => {
  it('resolves after a pass of its own, before start too, and starts no timer then', async () => {
    const gated = new GatedLoop();
    const done = jest.fn();
    void gated.loop.runOnce().then(done);
    expect(gated.passes).toBe(1);
    await settle();
    expect(done).not.toHaveBeenCalled();
    gated.gates[0]!.open();
    await settle();
    expect(done).toHaveBeenCalled();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('waits for the pass that runs, since that began before the call, and then for one more', async () => {
    const gated = new GatedLoop({ intervalMs: 0 });
    gated.loop.start();
    const done = jest.fn();
    void gated.loop.runOnce().then(done);
    gated.gates[0]!.open();
    await settle();
    expect(gated.passes).toBe(2);
    expect(done).not.toHaveBeenCalled();
    gated.gates[1]!.open();
    await settle();
    expect(done).toHaveBeenCalled();
    expect(gated.passes).toBe(2);
  });

  it('gives callers that wait together one pass, never two at a time', async () => {
    const gated = new GatedLoop({ intervalMs: 0 });
    const first = gated.loop.runOnce();
    const others = Promise.all([gated.loop.runOnce(), gated.loop.runOnce(), gated.loop.runOnce()]);
    gated.gates[0]!.open();
    await first;
    await settle();
    gated.gates[1]!.open();
    await others;
    expect([gated.passes, gated.mostRunning]).toEqual([2, 1]);
  });

  it.each<[string, () => Promise<void>]>([
    ['rejects', async () => Promise.reject(new Error('boom'))],
    [
      'throws before it returns a promise',
      () => {
        throw new Error('boom');
      },
    ],
  ])('throws what its pass throws when it %s; the loop goes on', async (_title, pass) => {
    let passes = 0;
    const loop = startedLater({
      pass: () => {
        if (++passes === 2) return pass();
        return Promise.resolve();
      },
    });
    loop.start();
    await settle();
    await expect(loop.runOnce()).rejects.toThrow('boom');
    await jest.advanceTimersByTimeAsync(1_000);
    expect(passes).toBe(3);
    await expect(loop.runOnce()).resolves.toBeUndefined();
  });

  it('comes to its turn although every pass is notified again', async () => {
    let passes = 0;
    const loop = startedLater({
      intervalMs: 0,
      pass: async () => {
        if (++passes < 1_000) loop.notify();
      },
    });
    loop.start();
    await loop.runOnce();
    expect(passes).toBeLessThan(5);
    await settle();
    expect(passes).toBe(1_000);
  });

  it('counts the interval from its own pass', async () => {
    let passes = 0;
    const loop = startedLater({ pass: async () => void passes++ });
    loop.start();
    await jest.advanceTimersByTimeAsync(600);
    await loop.runOnce();
    await jest.advanceTimersByTimeAsync(600);
    expect(passes).toBe(2);
    await jest.advanceTimersByTimeAsync(400);
    expect(passes).toBe(3);
    expect(jest.getTimerCount()).toBe(1);
  });

  it('answers a notify() that came during it', async () => {
    const gated = new GatedLoop({ intervalMs: 0 });
    const first = gated.loop.runOnce();
    gated.loop.start();
    gated.gates[0]!.open();
    await first;
    await settle();
    expect(gated.passes).toBe(2);
  });
});

describe('PollLoop: stop', () => {
  it('is safe before start and twice, and nothing runs afterwards', async () => {
    const gated = new GatedLoop();
    await gated.loop.stop();
    await gated.loop.stop();
    gated.loop.start();
    await gated.loop.runOnce();
    await jest.advanceTimersByTimeAsync(10_000);
    expect(gated.passes).toBe(0);
  });

  it('aborts the signal of the pass that runs and returns only when that has ended, also the second time', async () => {
    const gated = new GatedLoop();
    gated.loop.start();
    gated.loop.notify();
    expect(gated.signals[0]!.aborted).toBe(false);
    const stopped = jest.fn();
    void gated.loop.stop().then(stopped);
    void gated.loop.stop().then(stopped);
    expect(gated.signals[0]!.aborted).toBe(true);
    await jest.advanceTimersByTimeAsync(10_000);
    expect(stopped).not.toHaveBeenCalled();
    gated.gates[0]!.open();
    await settle();
    expect(stopped).toHaveBeenCalledTimes(2);
    expect([gated.passes, jest.getTimerCount()]).toEqual([1, 0]);
  });

  it('waits for the pass also when the pass calls it before it returns its promise', async () => {
    let isOver = false;
    let stopping: Promise<boolean> | undefined;
    const loop = startedLater({
      pass: async () => {
        stopping = loop.stop().then(() => isOver);
        await Promise.resolve();
        isOver = true;
      },
    });
    loop.start();
    expect(await stopping).toBe(true);
  });

  it('lets callers of runOnce() go that wait for a turn, without a pass', async () => {
    const gated = new GatedLoop();
    gated.loop.start();
    const waiting = gated.loop.runOnce();
    const stopping = gated.loop.stop();
    gated.gates[0]!.open();
    await Promise.all([waiting, stopping]);
    expect(gated.passes).toBe(1);
  });

  it('does not let an error of the last pass out', async () => {
    const gated = new GatedLoop();
    gated.loop.start();
    const stopping = gated.loop.stop();
    gated.gates[0]!.fail(new Error('aborted'));
    await expect(stopping).resolves.toBeUndefined();
    expect(gated.errors).toHaveLength(1);
  });
});

describe('PollLoop: any order of calls', () => {
  const calls = fc.array(
    fc.constantFrom('start', 'notify', 'runOnce', 'stop', 'open', 'fail', 'wait', 'delete timer'),
    { maxLength: 40 },
  );

  it('never overlaps, answers every runOnce() with a pass that began after it, and ends', async () => {
    await fc.assert(
      fc.asyncProperty(calls, async (steps) => {
        const registry = new SchedulerRegistry();
        const gated = new GatedLoop({ registry });
        let isStopped = false;
        const waiting: Promise<unknown>[] = [];
        const openAll = () => {
          for (const gate of gated.gates) gate.open();
        };
        const runOnce = async () => {
          const before = gated.passes;
          await gated.loop.runOnce().catch(() => undefined);
          if (!isStopped) expect(gated.passes).toBeGreaterThan(before);
        };
        for (const step of steps) {
          if (step === 'start') gated.loop.start();
          else if (step === 'notify') gated.loop.notify();
          else if (step === 'runOnce') waiting.push(runOnce());
          else if (step === 'open') openAll();
          else if (step === 'fail') gated.gates.at(-1)?.fail(new Error('boom'));
          else if (step === 'wait') await jest.advanceTimersByTimeAsync(1_000);
          else if (step === 'delete timer') registry.getTimeouts().forEach((name) => registry.deleteTimeout(name));
          else if (step === 'stop') {
            isStopped = true;
            waiting.push(gated.loop.stop());
          }
          await settle();
          expect(gated.mostRunning).toBeLessThanOrEqual(1);
        }
        isStopped = true;
        const stopping = gated.loop.stop();
        openAll();
        await Promise.all([stopping, ...waiting]);
        expect([gated.running, registry.getTimeouts(), jest.getTimerCount()]).toEqual([0, [], 0]);
      }),
      { numRuns: 300 },
    );
  });

  it('never loses a notify()', async () => {
    const moments = fc.array(fc.constantFrom('notify', 'open', 'fail'), { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(moments, async (steps) => {
        const gated = new GatedLoop({ intervalMs: 0 });
        gated.loop.start();
        let isPassOwed = false;
        let begun = gated.passes;
        for (const step of steps) {
          if (step === 'notify') {
            gated.loop.notify();
            isPassOwed = true;
          } else if (step === 'open') gated.gates.at(-1)!.open();
          else gated.gates.at(-1)!.fail(new Error('boom'));
          await settle();
          if (gated.passes > begun) [isPassOwed, begun] = [false, gated.passes];
        }
        gated.gates.at(-1)!.open();
        await jest.advanceTimersByTimeAsync(1_000);
        if (isPassOwed) expect(gated.passes).toBeGreaterThan(begun);
        const stopping = gated.loop.stop();
        gated.gates.at(-1)!.open();
        await stopping;
      }),
      { numRuns: 200 },
    );
  });
});

describe("PollLoop with Schedule's registry", () => {
  it('shows its waiting timer under its name, and nothing while a pass runs or after stop', async () => {
    const registry = new SchedulerRegistry();
    const gated = new GatedLoop({ registry });
    gated.loop.start();
    expect(registry.getTimeouts()).toEqual([]);
    for (let i = 0; i < 3; i++) {
      gated.gates[i]!.open();
      await settle();
      expect(registry.getTimeouts()).toEqual([NAME]);
      await jest.advanceTimersByTimeAsync(1_000);
      expect(registry.getTimeouts()).toEqual([]);
    }
    const stopping = gated.loop.stop();
    gated.gates[3]!.open();
    await stopping;
    expect(registry.getTimeouts()).toEqual([]);
  });

  it('sleeps when users delete its timer, wakes on notify() and is registered again', async () => {
    const registry = new SchedulerRegistry();
    let passes = 0;
    const loop = startedLater({ pass: async () => void passes++, registry });
    loop.start();
    await settle();
    registry.deleteTimeout(NAME);
    await jest.advanceTimersByTimeAsync(60_000);
    expect(passes).toBe(1);
    loop.notify();
    await settle();
    expect([passes, registry.getTimeouts()]).toEqual([2, [NAME]]);
    await jest.advanceTimersByTimeAsync(1_000);
    expect(passes).toBe(3);
  });

  it('leaves the timer of another loop of the same name alone', async () => {
    const registry = new SchedulerRegistry();
    const passes = [0, 0];
    const [first, second] = [0, 1].map((i) =>
      startedLater({ pass: async () => void (passes[i] = (passes[i] ?? 0) + 1), registry }),
    );
    first!.start();
    await settle();
    second!.start();
    await settle();
    second!.notify();
    await second!.stop();
    expect(registry.getTimeouts()).toEqual([NAME]);
    await jest.advanceTimersByTimeAsync(1_000);
    expect(passes[0]).toBe(2);
  });
});

describe('PollLoop in an application with ScheduleModule', () => {
  @Injectable()
  class LoopOwner {
    passes = 0;
    readonly loop: PollLoop;

    constructor(readonly registry: SchedulerRegistry) {
      this.loop = startedLater({ pass: async () => void this.passes++, registry, intervalMs: 20 });
    }

    onApplicationBootstrap(): void {
      this.loop.start();
    }

    async beforeApplicationShutdown(): Promise<void> {
      await this.loop.stop();
    }
  }

  it.each(['Schedule first', 'Schedule last'])('polls, and stops with the application (%s)', async (order) => {
    jest.useRealTimers();
    const owner: Provider = {
      provide: LoopOwner,
      useFactory: (r: SchedulerRegistry) => new LoopOwner(r),
      inject: [SchedulerRegistry],
    };
    @Module({ providers: [owner], exports: [LoopOwner] })
    class OwnerModule {}
    const imports = [ScheduleModule.forRoot(), OwnerModule];
    @Module({ imports: order === 'Schedule first' ? imports : imports.toReversed() })
    class AppModule {}
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
    const loopOwner = app.get(LoopOwner);
    const registry = app.get(SchedulerRegistry);
    while (loopOwner.passes < 3) await new Promise((resolve) => setTimeout(resolve, 5));
    await app.close();
    const { passes } = loopOwner;
    expect(registry.getTimeouts()).toEqual([]);
    loopOwner.loop.notify();
    expect(loopOwner.passes).toBe(passes);
  });
});

describe('PollLoop and the process', () => {
  it('stays while the loop waits', async () => {
    const registry = new SchedulerRegistry();
    const loop = startedLater({ registry });
    loop.start();
    await settle();
    const timer: NodeJS.Timeout = registry.getTimeout(NAME);
    expect(timer.hasRef()).toBe(true);
  });
});
