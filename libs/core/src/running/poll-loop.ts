import { type Random, systemRandom } from '../clock.js';
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
  /** A pass that threw. The loop goes on after the usual interval. */
  readonly onError: (error: unknown) => void;
  /** False lets the process end while the loop waits. Default true. */
  readonly holdsProcess?: boolean;
}

/**
 * Runs a pass now and then, never two at a time.
 *
 * - The first pass runs at once; the interval counts from the end of a pass, so a slow pass never overlaps the next.
 * - `notify()` during a pass makes another one follow directly.
 * - With a registry, the waiting timer is registered under `name`. If users delete it there, or Schedule clears it at shutdown, the loop
 *   sleeps until it is notified.
 */
export class PollLoop implements Runnable {
  private state: 'new' | 'running' | 'stopped' = 'new';
  private timer: NodeJS.Timeout | undefined;
  private current: Promise<void> | undefined;
  private isAgainWanted = false;
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
    if (this.current === undefined) void this.drain();
  }

  /** Also works before `start()`, for tests and for operators who drive the loop themselves. */
  async runOnce(): Promise<void> {
    while (this.current !== undefined) await this.current;
    if (this.state === 'stopped') return;
    let failure: { readonly error: unknown } | undefined;
    this.clearTimer();
    this.current = this.options.pass(this.abort.signal).catch((error: unknown) => {
      failure = { error };
    });
    await this.current;
    this.current = undefined;
    if (this.isAgainWanted) void this.drain();
    else this.schedule();
    if (failure !== undefined) throw failure.error;
  }

  async stop(): Promise<void> {
    this.state = 'stopped';
    this.clearTimer();
    this.abort.abort();
    while (this.current !== undefined) await this.current;
  }

  private async drain(): Promise<void> {
    this.clearTimer();
    this.current = this.passes();
    await this.current;
    this.current = undefined;
    this.schedule();
  }

  private async passes(): Promise<void> {
    while (this.isAgainWanted && this.state === 'running') {
      this.isAgainWanted = false;
      try {
        await this.options.pass(this.abort.signal);
      } catch (error) {
        this.isAgainWanted = false;
        this.options.onError(error);
      }
    }
  }

  private schedule(): void {
    if (this.state !== 'running') return;
    if (this.isAgainWanted) return void this.drain();
    const { intervalMs, jitter = 0.1, random = systemRandom, registry, name, holdsProcess = true } = this.options;
    const interval = typeof intervalMs === 'number' ? intervalMs : intervalMs();
    if (interval <= 0) return;
    this.timer = setTimeout(() => this.notify(), interval * (1 + jitter * random()));
    if (!holdsProcess) this.timer.unref();
    if (registry !== undefined && !registry.doesExist('timeout', name)) registry.addTimeout(name, this.timer);
  }

  private clearTimer(): void {
    if (this.timer === undefined) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    const { registry, name } = this.options;
    if (registry?.doesExist('timeout', name) === true) registry.deleteTimeout(name);
  }
}
