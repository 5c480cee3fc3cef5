import { type Random, systemRandom } from '../clock.js';
import { guardedCall } from '../guarded-call.js';
import type { Runnable } from './lifecycle.js';

/** The part of `@nestjs/schedule`'s `SchedulerRegistry` that a loop uses, so that users can see and stop its timer. */
export interface TimeoutRegistry {
  doesExist(type: 'timeout', name: string): boolean;
  addTimeout(name: string, timeout: NodeJS.Timeout): void;
  deleteTimeout(name: string): void;
}

export interface PollLoopOptions {
  /** Stable and unique in the process: `baton:<lib>:<instance>:<what>`. The timer's name in the registry. */
  readonly name: string;
  /** One pass. `signal` aborts when the loop stops; the loop waits for the pass all the same. */
  readonly pass: (signal: AbortSignal) => Promise<void>;
  /** Milliseconds between the end of a pass and the next, asked after each pass. 0: only `notify()` runs a pass. */
  readonly intervalMs: number | (() => number);
  /** Fraction that is added at random to each interval, so that processes do not march in step. Default 0.1. */
  readonly jitter?: number;
  readonly random?: Random;
  readonly registry?: TimeoutRegistry | undefined;
  /** A pass that threw, unless a `runOnce()` waits for it and gets the error. The loop goes on after the usual interval. */
  readonly onError: (error: unknown) => void;
}

/** Between a pass that failed and the one that a `notify()` during it asked for: a broken pass that notifies must not spin. */
const PAUSE_AFTER_FAILURE_MS = 1_000;

/** A longer timer of Node fires at once: 24.8 days. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

interface Caller {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Runs a pass now and then, never two at a time.
 *
 * - The first pass runs at once; the interval counts from the end of a pass, so a slow pass never overlaps the next.
 * - `notify()` during a pass makes another one follow directly; after a pass that failed, within a second.
 * - Callers of `runOnce()` that wait at the same time share the next pass.
 * - With a registry, the waiting timer is registered under `name`. If users delete it there, or Schedule clears it at shutdown, the loop
 *   sleeps until it is notified.
 */
export class PollLoop implements Runnable {
  private state: 'new' | 'running' | 'stopped' = 'new';
  private timer: NodeJS.Timeout | undefined;
  private isTimerRegistered = false;
  private current: Promise<void> | undefined;
  private isAgainWanted = false;
  private callers: Caller[] = [];
  private readonly abort = new AbortController();

  constructor(private readonly options: PollLoopOptions) {}

  start(): void {
    if (this.state !== 'new') return;
    this.state = 'running';
    this.notify();
  }

  notify(): void {
    if (this.state !== 'running') return;
    this.isAgainWanted = true;
    this.run();
  }

  /** Also works before `start()`, for tests and for operators who drive the loop themselves. After `stop()` it runs nothing. */
  async runOnce(): Promise<void> {
    if (this.state === 'stopped') return;
    await new Promise<void>((resolve, reject) => {
      this.callers.push({ resolve, reject });
      this.run();
    });
  }

  async stop(): Promise<void> {
    this.state = 'stopped';
    this.clearTimer();
    this.abort.abort();
    await this.current;
  }

  private run(): void {
    if (this.current !== undefined) return;
    this.clearTimer();
    // Set before the first pass begins: it may call notify() or stop() before it returns its promise.
    let finish = (): void => undefined;
    this.current = new Promise<void>((resolve) => (finish = resolve));
    void this.passes().then(finish);
  }

  private async passes(): Promise<void> {
    let isFailed = false;
    while (this.state !== 'stopped' && (this.callers.length > 0 || (this.isAgainWanted && !isFailed))) {
      this.isAgainWanted = false;
      const callers = this.callers.splice(0);
      try {
        await this.options.pass(this.abort.signal);
        isFailed = false;
        for (const { resolve } of callers) resolve();
      } catch (error) {
        isFailed = true;
        for (const { reject } of callers) reject(error);
        if (callers.length === 0) this.report(error);
      }
    }
    this.current = undefined;
    if (this.state === 'running') this.schedule();
    // Only after stop() is anybody left, and there is no pass to wait for.
    for (const { resolve } of this.callers.splice(0)) resolve();
  }

  private schedule(): void {
    const { jitter = 0.1, random = systemRandom, registry, name } = this.options;
    const interval = this.intervalMs();
    const pause = interval > 0 ? Math.min(interval, PAUSE_AFTER_FAILURE_MS) : PAUSE_AFTER_FAILURE_MS;
    const delay = this.isAgainWanted ? pause : interval;
    if (delay <= 0) return;
    this.timer = setTimeout(() => this.notify(), Math.min(delay * (1 + jitter * random()), LONGEST_TIMER_MS));
    if (registry === undefined || registry.doesExist('timeout', name)) return;
    registry.addTimeout(name, this.timer);
    this.isTimerRegistered = true;
  }

  /** An interval that cannot be had must not end the polling: the scan is the guarantee, so it goes on each second. */
  private intervalMs(): number {
    const { intervalMs } = this.options;
    try {
      const interval = typeof intervalMs === 'number' ? intervalMs : intervalMs();
      return Number.isNaN(interval) ? PAUSE_AFTER_FAILURE_MS : interval;
    } catch (error) {
      this.report(error);
      return PAUSE_AFTER_FAILURE_MS;
    }
  }

  private report(error: unknown): void {
    guardedCall(`onError of ${this.options.name}`, () => this.options.onError(error));
  }

  private clearTimer(): void {
    if (this.timer === undefined) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    // A name that another loop registered first is not ours to delete: that would end its timer.
    const { registry, name } = this.options;
    if (this.isTimerRegistered && registry?.doesExist('timeout', name) === true) registry.deleteTimeout(name);
    this.isTimerRegistered = false;
  }
}
