import { secondsSince, systemClock } from '@nest-baton/core';
import { isLostConnection } from '../connecting/lost-connection.js';
import { repeatWhileLost } from '../connecting/patience.js';
import { StreamUnavailableError } from '../pg-stream.errors.js';
import type { PgStreamMetrics } from '../pg-stream.metrics.js';
import type { ReadingStore } from './reading-store.js';
import type { StreamSlice } from './slice.js';

/** Readers of a process that query at the same time: a wake-up of thousands must not take the connections of those who append. */
const MAX_AT_ONCE = 8;

/** A query, and who waits for it. */
interface SharedQuery {
  slice: Promise<StreamSlice | undefined>;
  /** It has its snapshot, or may have it. */
  isBegun: boolean;
  revision: number | undefined;
  takers: number;
  staying: number;
  readonly forsaken: AbortController;
}

export interface SliceOptions {
  readonly signal?: AbortSignal;
  /**
   * Of the stream's watch: a query that began at the same revision will do. Without it only one that has not begun, since the caller must see
   * whatever was committed before he asked.
   */
  readonly revision?: number | undefined;
}

/**
 * Where readers get their chunks from: at most 8 queries at a time, in the order in which they were asked for, each repeated for about 10 s
 * while the connection is lost. Readers of one stream at one position who are woken together share one query, however many they are.
 */
export class SliceSource {
  private running = 0;
  private queries = 0;
  private readonly queue: (() => void)[] = [];
  private readonly shared = new Map<string, SharedQuery>();

  constructor(
    private readonly store: ReadingStore,
    private readonly metrics: PgStreamMetrics,
  ) {}

  /** Slices read so far. */
  get slicesRead(): number {
    return this.queries;
  }

  /** @throws StreamUnavailableError, or what the server said. */
  async slice(
    stream: string,
    position: number | undefined,
    limit: number,
    { signal, revision }: SliceOptions = {},
  ): Promise<StreamSlice | undefined> {
    const key = `${limit}:${position ?? ''}:${stream}`;
    const known = this.shared.get(key);
    const isJoined = known !== undefined && (!known.isBegun || (revision !== undefined && known.revision === revision));
    const query = isJoined ? known : this.begin(key, stream, position, limit, revision);
    if (!query.isBegun) query.revision = revision ?? query.revision;
    query.takers++;
    query.staying++;
    const leave = (): void => this.leave(key, query);
    signal?.addEventListener('abort', leave);
    try {
      const slice = await query.slice;
      return slice === undefined || query.takers === 1 ? slice : { ...slice, isShared: true };
    } finally {
      signal?.removeEventListener('abort', leave);
    }
  }

  private begin(
    key: string,
    stream: string,
    position: number | undefined,
    limit: number,
    revision: number | undefined,
  ): SharedQuery {
    const query: SharedQuery = {
      slice: Promise.resolve(undefined),
      isBegun: false,
      revision,
      takers: 0,
      staying: 0,
      forsaken: new AbortController(),
    };
    query.slice = this.run(query, stream, position, limit).finally(() => this.forget(key, query));
    this.shared.set(key, query);
    return query;
  }

  /** Nobody waits any more: it is not repeated, and nobody joins it. */
  private leave(key: string, query: SharedQuery): void {
    if (--query.staying > 0) return;
    query.forsaken.abort();
    this.forget(key, query);
  }

  private forget(key: string, query: SharedQuery): void {
    if (this.shared.get(key) === query) this.shared.delete(key);
  }

  private async run(
    query: SharedQuery,
    stream: string,
    position: number | undefined,
    limit: number,
  ): Promise<StreamSlice | undefined> {
    if (this.running < MAX_AT_ONCE) this.running++;
    else await new Promise<void>((resolve) => this.queue.push(resolve));
    query.isBegun = true;
    try {
      if (query.forsaken.signal.aborted) return undefined;
      return (await repeatWhileLost(() => this.read(stream, position, limit), query.forsaken.signal)).result;
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

  private async read(stream: string, position: number | undefined, limit: number): Promise<StreamSlice | undefined> {
    this.queries++;
    const startedAt = systemClock.monotonic();
    const slice = await this.store.slice(stream, position, limit);
    this.metrics.record('slice.duration', secondsSince(startedAt));
    return slice;
  }
}
