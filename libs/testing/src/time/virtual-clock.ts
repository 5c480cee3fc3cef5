import { setImmediate as realSetImmediate } from 'node:timers';
import type { Clock } from '@nest-baton/core';
import { VirtualTimer } from './virtual-timer.js';

/** A Saturday in 2026, so that formatted times look like times. */
const STARTED_AT = Date.UTC(2026, 7, 1, 12);
/** As Node does: nothing comes sooner, and a longer timer comes at once. */
const SHORTEST_MS = 1;
const LONGEST_MS = 2 ** 31 - 1;

type TimerFunctions = Pick<typeof globalThis, 'setTimeout' | 'clearTimeout' | 'setInterval' | 'clearInterval'>;

/**
 * Time that passes only when the test says so.
 *
 * - `now()` and `monotonic()` stand still until `advance()`; between two timers everything that is already resolved runs to its end, so code
 *   that awaits sees each moment as it would in real time.
 * - `jump()` moves the wall clock alone, forwards or backwards, as an operator or NTP does. Timers and deadlines do not notice.
 * - Timers are its own functions, for code that takes them as arguments, or after `takeOverTimers()` the global ones, for code that does not.
 *   Not `node:timers/promises`, nor the timeouts of sockets and servers: those are real time.
 */
export class VirtualClock implements Clock {
  private elapsedMs = 0;
  private wallMs: number;
  private readonly timers = new Set<VirtualTimer>();
  private nextNumber = 1;
  private giveBack: (() => void) | undefined;

  /** `startedAt`: milliseconds since the epoch. */
  constructor(startedAt: number = STARTED_AT) {
    this.wallMs = startedAt;
  }

  now(): number {
    return this.wallMs;
  }

  monotonic(): number {
    return this.elapsedMs;
  }

  /** How many timers wait: 0 when nothing is left behind. */
  get pendingTimers(): number {
    return this.timers.size;
  }

  /**
   * Lets `ms` milliseconds pass, firing what is due on the way in its order. Rejects with what a timer's function throws, and with a RangeError
   * when `ms` is no time that can pass: monotonic time never goes back.
   */
  async advance(ms: number): Promise<void> {
    if (!Number.isFinite(ms) || ms < 0) throw new RangeError(`Time passes by 0 ms or more, not by ${ms}.`);
    const until = this.elapsedMs + ms;
    await settle();
    for (let timer = this.nextDue(until); timer !== undefined; timer = this.nextDue(until)) {
      this.pass(Math.max(0, timer.dueAt - this.elapsedMs));
      timer.fire();
      await settle();
    }
    this.pass(until - this.elapsedMs);
  }

  /** Lets time pass up to the next timer and fires all that are due then. False: there is none. */
  async advanceToNextTimer(): Promise<boolean> {
    await settle();
    const next = this.nextDue(Infinity);
    if (next === undefined) return false;
    await this.advance(Math.max(0, next.dueAt - this.elapsedMs));
    return true;
  }

  /** The wall clock alone; monotonic time and timers stay as they are. */
  jump(ms: number): void {
    this.wallMs += ms;
  }

  /** Resolves when that much virtual time has passed. Rejects with the signal's reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason as Error);
      const onAbort = (): void => {
        this.clearTimeout(timer);
        reject(signal?.reason as Error);
      };
      const timer = this.setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  readonly setTimeout = <Args extends unknown[]>(callback: (...args: Args) => void, ms = 0, ...args: Args) =>
    this.add(() => callback(...args), ms, false);

  readonly setInterval = <Args extends unknown[]>(callback: (...args: Args) => void, ms = 0, ...args: Args) =>
    this.add(() => callback(...args), ms, true);

  readonly clearTimeout = (timer?: unknown): void => {
    for (const known of this.timers) if (known === timer || known.number === Number(timer)) known.close();
  };

  readonly clearInterval = this.clearTimeout;

  /**
   * Puts its timers in the place of the global ones, until the function that it returns is called (twice does no harm). For code that takes
   * no timers as an argument; give the clock itself where a clock is taken. One clock at a time.
   *
   * @throws RangeError when it already has.
   */
  takeOverTimers(): () => void {
    if (this.giveBack !== undefined) throw new RangeError('This clock has taken over the timers already.');
    const { setTimeout, clearTimeout, setInterval, clearInterval } = globalThis;
    const real: TimerFunctions = { setTimeout, clearTimeout, setInterval, clearInterval };
    const own = {
      setTimeout: this.setTimeout,
      clearTimeout: this.orReal(clearTimeout),
      setInterval: this.setInterval,
      clearInterval: this.orReal(clearInterval),
    };
    Object.assign(globalThis, own);
    this.giveBack = () => {
      this.giveBack = undefined;
      Object.assign(globalThis, real);
    };
    return () => this.giveBack?.();
  }

  /** A timer from before is still cleared. */
  private orReal(clear: (timer?: NodeJS.Timeout) => void): (timer?: unknown) => void {
    return (timer) => (timer instanceof VirtualTimer ? timer.close() : clear(timer as NodeJS.Timeout));
  }

  private add(callback: () => void, ms: number, isRepeated: boolean): VirtualTimer {
    const delayMs = ms >= SHORTEST_MS && ms <= LONGEST_MS ? ms : SHORTEST_MS;
    return new VirtualTimer(this.nextNumber++, callback, delayMs, isRepeated, this.timers, () => this.elapsedMs).arm();
  }

  private nextDue(until: number): VirtualTimer | undefined {
    let next: VirtualTimer | undefined;
    for (const timer of this.timers)
      if (timer.dueAt <= until && (next === undefined || timer.comesBefore(next))) next = timer;
    return next;
  }

  private pass(ms: number): void {
    this.elapsedMs += ms;
    this.wallMs += ms;
  }
}

/** A turn of the real event loop: every promise that can settle without real time or I/O has settled after it. */
function settle(): Promise<void> {
  return new Promise((resolve) => void realSetImmediate(resolve));
}
