import { secondsSince, systemClock } from '@nest-baton/core';
import { isLostConnection } from '../connecting/lost-connection.js';
import { repeatWhileLost } from '../connecting/patience.js';
import { StreamUnavailableError } from '../pg-stream.errors.js';
import type { PgStreamMetrics } from '../pg-stream.metrics.js';
import type { ReadingStore } from './reading-store.js';
import type { StreamSlice } from './slice.js';

/** Readers of a process that query at the same time: a wake-up of thousands must not take the connections of those who append. */
const MAX_AT_ONCE = 8;

/**
 * Where readers get their chunks from: at most 8 queries at a time, in the order in which they were asked for, each repeated for about 10 s
 * while the connection is lost.
 */
export class SliceSource {
  private running = 0;
  private queries = 0;
  private readonly queue: (() => void)[] = [];

  constructor(
    private readonly store: ReadingStore,
    private readonly metrics: PgStreamMetrics,
  ) {}

  /** Slices read so far. */
  get slicesRead(): number {
    return this.queries;
  }

  /** @throws StreamUnavailableError, StreamDamagedError, or what the server said. */
  async slice(stream: string, position: number, limit: number, signal?: AbortSignal): Promise<StreamSlice | undefined> {
    await this.turn();
    try {
      return (await repeatWhileLost(() => this.read(stream, position, limit), signal)).result;
    } catch (error) {
      if (!isLostConnection(error)) throw error;
      throw new StreamUnavailableError(`Postgres could not be reached to read the stream '${stream}'.`, {
        cause: error.cause,
      });
    } finally {
      const next = this.queue.shift();
      // Handed over, not freed: whoever asks in between would be one too many.
      if (next === undefined) this.running--;
      else next();
    }
  }

  private async read(stream: string, position: number, limit: number): Promise<StreamSlice | undefined> {
    this.queries++;
    const startedAt = systemClock.monotonic();
    const slice = await this.store.slice(stream, position, limit);
    this.metrics.record('slice.duration', secondsSince(startedAt));
    return slice;
  }

  private async turn(): Promise<void> {
    if (this.running < MAX_AT_ONCE) this.running++;
    else await new Promise<void>((resolve) => this.queue.push(resolve));
  }
}
