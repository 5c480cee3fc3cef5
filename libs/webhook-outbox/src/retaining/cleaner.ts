import { PollLoop, type Runnable, type TimeoutRegistry } from '@nest-baton/core';
import type { EndpointRemains } from './endpoint-remains.js';
import { FIRST_EVENT, FIRST_LINE, type Removed, type RetentionStore } from './retention-store.js';

export interface CleanerHooks {
  readonly onExpired: (count: number) => void;
  readonly onRemoved: (removed: Pick<Removed, 'deliveries' | 'events'>) => void;
  readonly onFailed: (error: unknown) => void;
  readonly onSucceeded: () => void;
}

export interface CleanerSetup {
  readonly name: string;
  readonly store: RetentionStore;
  readonly remains: EndpointRemains;
  /** 0: never. */
  readonly intervalMs: number;
  readonly registry: TimeoutRegistry | undefined;
  readonly hooks: CleanerHooks;
}

/** Rows of a statement: a commit now and then, and no lock for long, however much there is to remove. */
const BATCH = 500;

/** Pages of events, and of lines, that one pass looks at for being without deliveries; the next goes on behind them. */
const PAGES = 10;

/** Removes in the background what has been kept for as long as `retention` says, and what endpoints leave behind. What a pass leaves undone, the next one or another process does. */
export class Cleaner implements Runnable {
  private readonly loop: PollLoop;
  private after = FIRST_EVENT;
  private afterLine = FIRST_LINE;
  private isStopped = false;

  constructor(private readonly setup: CleanerSetup) {
    const { name, intervalMs, registry, hooks } = setup;
    this.loop = new PollLoop({
      name: `baton:webhook-outbox:${name}:cleanup`,
      pass: (signal) => this.pass(signal),
      intervalMs,
      registry,
      // After the end there may be no database any more, which is not worth a word.
      onError: (error) => this.isStopped || hooks.onFailed(error),
    });
  }

  start(): void {
    if (this.setup.intervalMs > 0) this.loop.start();
  }

  notify(): void {
    this.loop.notify();
  }

  /** One pass. */
  async runOnce(): Promise<void> {
    await this.loop.runOnce();
  }

  /** Returns when no statement runs. */
  stop(): Promise<void> {
    this.isStopped = true;
    return this.loop.stop();
  }

  private async pass(signal: AbortSignal): Promise<void> {
    const { store, remains, hooks } = this.setup;
    for (let count = BATCH; count === BATCH && !signal.aborted;) {
      count = await store.expire(BATCH);
      if (count > 0) hooks.onExpired(count);
    }
    for (let isMore = true; isMore && !signal.aborted;) {
      const removed = await store.remove(BATCH);
      hooks.onRemoved(removed);
      ({ isMore } = removed);
    }
    for (let page = 0; page < PAGES && !signal.aborted; page++) {
      const { next, events } = await store.removeLone(this.after, BATCH);
      hooks.onRemoved({ deliveries: {}, events });
      this.after = next ?? FIRST_EVENT;
      if (next === undefined) break;
    }
    for (let page = 0; page < PAGES && !signal.aborted; page++) {
      const { next } = await store.removeLines(this.afterLine, BATCH);
      this.afterLine = next ?? FIRST_LINE;
      if (next === undefined) break;
    }
    for (let count = BATCH; count === BATCH && !signal.aborted;) count = await remains.removeExpiredSecrets(BATCH);
    for (let count = BATCH; count === BATCH && !signal.aborted;) count = await remains.removeDeleted(BATCH);
    hooks.onSucceeded();
  }
}
