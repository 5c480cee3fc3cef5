import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { PollLoop } from '@nest-baton/core';
import { VirtualClock } from './virtual-clock.js';

describe('VirtualClock', () => {
  it('stands still until it is advanced', async () => {
    const clock = new VirtualClock(1_000);
    expect([clock.now(), clock.monotonic()]).toEqual([1_000, 0]);
    await turn();
    expect([clock.now(), clock.monotonic()]).toEqual([1_000, 0]);
    await clock.advance(250);
    expect([clock.now(), clock.monotonic()]).toEqual([1_250, 250]);
  });

  it('jumps in either direction without moving deadlines', async () => {
    const clock = new VirtualClock(1_000);
    const fired: number[] = [];
    clock.setTimeout(() => fired.push(clock.now()), 100);
    clock.jump(-900);
    clock.jump(3_600_000);
    expect([clock.now(), clock.monotonic(), fired]).toEqual([3_600_100, 0, []]);
    await clock.advance(100);
    expect([clock.monotonic(), fired]).toEqual([100, [3_600_200]]);
  });

  it('fires in the order of time, and of setting where times are the same', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 20 })), fc.nat(25), async (delays, ms) => {
        const clock = new VirtualClock();
        const fired: { readonly i: number; readonly at: number }[] = [];
        delays.forEach((delay, i) => clock.setTimeout(() => fired.push({ i, at: clock.monotonic() }), delay));
        await clock.advance(ms);
        const due = delays.map((at, i) => ({ i, at })).filter(({ at }) => at <= ms);
        expect(fired).toEqual(due.toSorted((a, b) => a.at - b.at || a.i - b.i));
        expect(clock.pendingTimers).toBe(delays.length - due.length);
        expect(clock.monotonic()).toBe(ms);
      }),
    );
  });

  it('lets everything settle between two timers, and fires what was set meanwhile', async () => {
    const clock = new VirtualClock();
    const seen: string[] = [];
    const work = async (name: string) => {
      for (let i = 1; i <= 3; i++) {
        await clock.sleep(10);
        for (let j = 0; j < 20; j++) await Promise.resolve();
        seen.push(`${name}${i}@${clock.monotonic()}`);
      }
    };
    const both = Promise.all([work('a'), work('b')]);
    await clock.advance(30);
    await both;
    expect(seen).toEqual(['a1@10', 'b1@10', 'a2@20', 'b2@20', 'a3@30', 'b3@30']);
  });

  it('has intervals, arguments, refresh, and timers that are cleared by object or by number', async () => {
    const clock = new VirtualClock();
    const seen: unknown[] = [];
    const interval = clock.setInterval((what: string) => seen.push(what), 10, 'tick');
    const refreshed = clock.setTimeout(() => seen.push('late'), 15);
    const cleared = [clock.setTimeout(() => seen.push('never'), 1), clock.setTimeout(() => seen.push('never'), 1)];
    clock.clearTimeout(cleared[0]);
    clock.clearTimeout(Number(cleared[1]));
    clock.clearTimeout(undefined);
    await clock.advance(10);
    refreshed.refresh();
    await clock.advance(10);
    clock.clearInterval(interval);
    await clock.advance(5);
    expect(seen).toEqual(['tick', 'tick', 'late']);
    expect(clock.pendingTimers).toBe(0);
    expect(refreshed.unref().hasRef()).toBe(false);
  });

  it('takes no time for less than a millisecond and for more than a timer can hold, as Node does not', async () => {
    const clock = new VirtualClock();
    const fired: number[] = [];
    for (const ms of [0, -5, NaN, 2 ** 31]) clock.setTimeout(() => fired.push(clock.monotonic()), ms);
    await clock.advance(1);
    expect(fired).toEqual([1, 1, 1, 1]);
  });

  it('goes from timer to timer', async () => {
    const clock = new VirtualClock();
    clock.setTimeout(() => undefined, 5);
    clock.setTimeout(() => undefined, 3_600_000);
    expect([await clock.advanceToNextTimer(), clock.monotonic()]).toEqual([true, 5]);
    expect([await clock.advanceToNextTimer(), clock.monotonic()]).toEqual([true, 3_600_000]);
    expect(await clock.advanceToNextTimer()).toBe(false);
  });

  it('ends a sleep with the reason of its signal, and leaves no timer', async () => {
    const clock = new VirtualClock();
    const abort = new AbortController();
    const sleeping = clock.sleep(10, abort.signal);
    abort.abort(new Error('enough'));
    await expect(sleeping).rejects.toThrow('enough');
    await expect(clock.sleep(10, abort.signal)).rejects.toThrow('enough');
    expect(clock.pendingTimers).toBe(0);
  });

  it.each([-1, NaN, Infinity])('does not advance by %d ms', async (ms) => {
    const clock = new VirtualClock(1_000);
    await expect(clock.advance(ms)).rejects.toThrow(RangeError);
    expect([clock.now(), clock.monotonic()]).toEqual([1_000, 0]);
  });

  it('rejects with what a timer throws', async () => {
    const clock = new VirtualClock();
    clock.setTimeout(() => {
      throw new Error('boom');
    }, 5);
    await expect(clock.advance(10)).rejects.toThrow('boom');
  });
});

describe('VirtualClock in the place of the global timers', () => {
  it('runs code that takes no timers, and gives them back', async () => {
    const real = globalThis.setTimeout;
    const early = setTimeout(() => undefined, 60_000);
    const clock = new VirtualClock();
    const giveBack = clock.takeOverTimers();
    expect(() => clock.takeOverTimers()).toThrow(RangeError);
    const passes: number[] = [];
    const loop = new PollLoop({
      name: 'baton:test:default:virtual',
      pass: async () => void passes.push(clock.monotonic()),
      intervalMs: 3_600_000,
      jitter: 0,
      onError: (error) => {
        throw error;
      },
    });
    try {
      loop.start();
      await clock.advance(24 * 3_600_000);
      await loop.stop();
      clearTimeout(early);
      expect(passes).toHaveLength(25);
      expect(clock.pendingTimers).toBe(0);
    } finally {
      giveBack();
      giveBack();
    }
    expect(globalThis.setTimeout).toBe(real);
  });
});
