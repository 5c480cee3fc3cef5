import { describeError, PollLoop, type TimeoutRegistry, type TypedEvents } from '@nest-baton/core';
import { Logger } from '@nestjs/common';
import type { PgStreamEvents } from '../pg-stream.events.js';
import type { PgStreamMetrics } from '../pg-stream.metrics.js';
import type { KeepingStore } from './keeping-store.js';
import type { StreamRetention } from './stream-retention.js';

/** Chunks of a statement: a commit now and then, and no lock for long, however much there is to remove. */
const BATCH_CHUNKS = 500;

/** Streams that are looked up at once. */
const BATCH_STREAMS = 100;

/** What readers of a stream are told whose writer fell silent. */
const LEASE_MESSAGE = 'the writer lease ran out';

/** Sweeps, one behind another, that are left out while callers wait for the pool's connections; then one waits with them. */
const MOST_LEFT_OUT = 5;

/** Of all streams; numbers begin at 1. */
const FROM_THE_FIRST = '0';

export interface StreamSweeperOptions {
  readonly instance: string;
  readonly store: KeepingStore;
  readonly retention: StreamRetention;
  /** A stream has ended: whoever waits for it looks again. */
  readonly moved: (stream: string) => void;
  /** 0: this process removes nothing. */
  readonly sweepIntervalMs: number;
  readonly registry: TimeoutRegistry | undefined;
  readonly events: TypedEvents<PgStreamEvents>;
  readonly metrics: PgStreamMetrics;
}

/**
 * Ends in the background the streams whose writer lease ran out, marks what `retention` lets go, and removes what is kept no longer: marks stand in the database, so whatever a
 * process leaves undone another one does, or the same one after its restart.
 *
 * - Any number of processes may sweep at once; they pass over what another one has under its hands.
 * - A sweep has time: it leaves the connections of an exhausted pool to those who wait for them, but not for ever.
 */
export class StreamSweeper {
  private readonly logger: Logger;
  private readonly loop: PollLoop;
  private isFailureLogged = false;
  /** The pass under way was cut short, or not begun, since callers wait for connections. */
  private isLeftOut = false;
  private leftOut = 0;

  constructor(private readonly options: StreamSweeperOptions) {
    this.logger = new Logger(`PgStream:${options.instance}`);
    this.loop = new PollLoop({
      name: `baton:pg-stream:${options.instance}:sweep`,
      pass: (signal) => this.pass(signal),
      intervalMs: options.sweepIntervalMs,
      registry: options.registry,
      onError: (error) => this.failed(error),
    });
  }

  start(): void {
    if (this.options.sweepIntervalMs > 0) this.loop.start();
  }

  /** There is something to remove. */
  notify(): void {
    this.loop.notify();
  }

  /** Returns when nothing runs any more: a batch under way is waited for. */
  stop(): Promise<void> {
    return this.loop.stop();
  }

  private async pass(signal: AbortSignal): Promise<void> {
    this.isLeftOut = false;
    try {
      await this.abortSilent(signal);
      await this.options.retention.pass(signal, () => this.mayGoOn(signal));
      await this.removeAll(signal);
      this.isFailureLogged = false;
    } catch (error) {
      // It waited for a connection that nobody needs any more.
      if (!signal.aborted) throw error;
    }
    this.leftOut = this.isLeftOut ? this.leftOut + 1 : 0;
  }

  /** Asked before each statement. */
  private mayGoOn(signal: AbortSignal): boolean {
    if (signal.aborted) return false;
    if (this.options.store.hasFreeConnection || this.leftOut >= MOST_LEFT_OUT) return true;
    this.isLeftOut = true;
    return false;
  }

  private async abortSilent(signal: AbortSignal): Promise<void> {
    const { store, moved, metrics } = this.options;
    for (let count = BATCH_STREAMS; count === BATCH_STREAMS && this.mayGoOn(signal);) {
      const found = await store.abortSilent(BATCH_STREAMS, LEASE_MESSAGE, signal);
      const names = found.filter((name) => name !== null);
      count = found.length;
      metrics.add('sweep.aborted', names.length);
      for (const name of names) moved(name);
    }
  }

  private async removeAll(signal: AbortSignal): Promise<void> {
    for (let after = FROM_THE_FIRST; this.mayGoOn(signal);) {
      const ids = await this.options.store.unswept(after, BATCH_STREAMS, signal);
      await this.remove(ids, signal);
      const last = ids.at(-1);
      if (last === undefined || ids.length < BATCH_STREAMS) return;
      after = last;
    }
  }

  /** A batch of each in turn, so that a small stream does not wait for a large one. */
  private async remove(ids: readonly string[], signal: AbortSignal): Promise<void> {
    const { store, metrics } = this.options;
    for (let left = [...ids]; left.length > 0;) {
      const more: string[] = [];
      for (const id of left) {
        if (!this.mayGoOn(signal)) return;
        const removed = await store.sweep(id, BATCH_CHUNKS, signal);
        metrics.add('sweep.removed', removed);
        if (removed === BATCH_CHUNKS) more.push(id);
      }
      left = more;
    }
  }

  private failed(error: unknown): void {
    if (!this.isFailureLogged)
      this.logger.warn('a sweep failed; the next one goes on', {
        error: describeError(error),
      });
    this.isFailureLogged = true;
    this.options.metrics.add('sweep.failures', 1);
    this.options.events.emit('sweepFailed', { error });
  }
}
