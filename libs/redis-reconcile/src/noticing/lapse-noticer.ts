import { describeError, type Random } from '@nest-baton/core';
import type { Logger } from '@nestjs/common';
import type { Partition } from '../partitions/partition.js';
import type { Reconciler } from '../recovery/reconciler.js';

/** Every worker hears every expiry: each waits a moment of its own, and most find the work done. */
const SPREAD_MS = 250;
/** Names that came in one such moment are looked at together. */
const FLUSH_MS = 10;
/** Beyond it names are dropped: the scan finds them. Bounds memory when very many leases expire at once. */
const MAX_NOTICED = 100_000;
const BATCH = 100;
/** Node fires a timer that is longer after 1 ms: wakes early, finds nothing due and sleeps again. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Turns the news that a lease ran out into a look at its data stream. Losing some is harmless, and so is hearing one twice.
 */
export class LapseNoticer {
  private readonly due = new Map<
    string,
    { readonly partition: Partition; readonly dataStream: string; readonly at: number }
  >();
  private timer: NodeJS.Timeout | undefined;
  private armedFor = Infinity;
  private isStopped = false;
  private flushing: Promise<void> = Promise.resolve();

  constructor(
    private readonly options: {
      readonly partitions: readonly Partition[];
      readonly reconciler: Reconciler;
      readonly random: Random;
      readonly now: () => number;
      readonly logger: Logger;
    },
  ) {}

  /** `delayMs`: when the lease is known to run out, for a hold that this process set itself. */
  notice(partition: number, dataStream: string, delayMs = this.options.random() * SPREAD_MS): void {
    const target = this.options.partitions[partition];
    if (this.isStopped || target === undefined || this.due.size >= MAX_NOTICED) return;
    const key = `${partition}:${dataStream}`;
    const at = this.options.now() + delayMs;
    const known = this.due.get(key);
    if (known !== undefined && known.at <= at) return;
    this.due.set(key, { partition: target, dataStream, at });
    this.arm(at);
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    await this.flushing;
  }

  private arm(at: number): void {
    if (this.isStopped || at >= this.armedFor) return;
    clearTimeout(this.timer);
    this.armedFor = at;
    this.timer = setTimeout(
      () => {
        this.armedFor = Infinity;
        // The one before may still run: it is waited for as well.
        this.flushing = Promise.all([this.flushing, this.flush()]).then(() => undefined);
      },
      Math.min(Math.max(at - this.options.now(), 0) + FLUSH_MS, LONGEST_TIMER_MS),
    );
    this.timer.unref();
  }

  private async flush(): Promise<void> {
    const now = this.options.now();
    const ready = new Map<Partition, string[]>();
    let next = Infinity;
    for (const [key, { partition, dataStream, at }] of this.due) {
      if (at > now) {
        next = Math.min(next, at);
        continue;
      }
      this.due.delete(key);
      const names = ready.get(partition);
      if (names === undefined) ready.set(partition, [dataStream]);
      else names.push(dataStream);
    }
    if (next < Infinity) this.arm(next);
    try {
      for (const [partition, names] of ready)
        for (let i = 0; i < names.length && !this.isStopped; i += BATCH)
          await this.options.reconciler.lapsed(partition, names.slice(i, i + BATCH));
    } catch (error) {
      this.options.logger.warn('acting on expired leases failed; the scan will', { error: describeError(error) });
    }
  }
}
