import { PollLoop, quoteIdentifier, secondsSince, systemClock, type TimeoutRegistry } from '@nest-baton/core';
import type { StreamDatabase } from '../connecting/stream-database.js';
import type { PgStreamMetrics } from '../pg-stream.metrics.js';
import type { ServerClock } from './server-clock.js';
import type { WatchedStreams } from './watched-streams.js';

/** Without LISTEN the poll is all there is: a quarter of a second, or longer where a look is expensive. */
const FASTEST_MS = 250;
/** A look may use a twentieth of the time at most. */
const COST_FACTOR = 20;
/** Why somebody is woken: an append of this process, a notification of another, or a look, because it was time or because LISTEN is back. */
export type WokenBy = 'local' | 'notification' | 'poll' | 'reconnect';

/** Shutdown waits for a look under way, also on a dead network path. A look that is given up is followed by another. */
const LOOK_TIMEOUT_MS = 5_000;

export interface StreamPollerOptions {
  readonly name: string;
  readonly database: StreamDatabase;
  readonly schema: string;
  readonly watched: WatchedStreams;
  /** 0: only `notify()` looks. */
  readonly pollIntervalMs: number;
  /** Whether hints arrive, so that looks may be rare. */
  readonly isListening: () => boolean;
  readonly registry: TimeoutRegistry | undefined;
  readonly onError: (error: unknown) => void;
  readonly serverClock: ServerClock;
  readonly metrics: PgStreamMetrics;
}

/**
 * The guarantee behind the hints: finds every stream that has moved beyond its readers, with one query for all of them.
 *
 * Looks while nobody waits cost nothing. Only streams that moved are woken.
 */
export class StreamPoller {
  readonly loop: PollLoop;
  private lastCostMs = 0;
  private isLastPassGood = true;
  private queryCount = 0;
  private because: WokenBy = 'poll';

  constructor(private readonly options: StreamPollerOptions) {
    this.loop = new PollLoop({
      name: options.name,
      pass: (signal) => this.pass(signal),
      intervalMs: () => this.intervalMs(),
      registry: options.registry,
      onError: options.onError,
    });
  }

  /** Looks at once, or right after the look that is under way. */
  lookNow(because: WokenBy): void {
    this.because = because;
    this.loop.notify();
  }

  /** Queries so far. */
  get queries(): number {
    return this.queryCount;
  }

  /** Whether a stream whose hint was lost would be found. */
  get isWorking(): boolean {
    return this.options.pollIntervalMs > 0 && this.isLastPassGood;
  }

  private intervalMs(): number {
    const { pollIntervalMs, isListening } = this.options;
    if (pollIntervalMs === 0 || isListening()) return pollIntervalMs;
    return Math.max(FASTEST_MS, COST_FACTOR * this.lastCostMs);
  }

  private async pass(signal: AbortSignal): Promise<void> {
    const { because } = this;
    this.because = 'poll';
    const waiting = this.options.watched.waiting();
    // A failure of which nobody is left to suffer must not be held against readers who come later.
    if (waiting.names.length === 0) return void (this.isLastPassGood = true);
    const startedAt = systemClock.monotonic();
    this.queryCount++;
    let moved: readonly string[];
    try {
      moved = await this.findMoved(waiting, signal);
      this.isLastPassGood = true;
    } catch (error) {
      // It waited for a connection that nobody needs any more.
      if (signal.aborted) return;
      this.isLastPassGood = false;
      throw error;
    }
    this.lastCostMs = systemClock.monotonic() - startedAt;
    this.options.metrics.record('poll.duration', secondsSince(startedAt));
    let woken = 0;
    for (const name of moved) woken += this.options.watched.wakeStream(name);
    this.options.metrics.add('streams.woken', woken, because);
  }

  /**
   * A stream that is created and still empty has not moved; one that is closed has, wherever its reader waits, and so has one that has lost its
   * name to another one or to nobody, which whoever has seen it must learn.
   */
  private async findMoved(
    { names, positions, streamIds }: ReturnType<WatchedStreams['waiting']>,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const { database, schema } = this.options;
    const askedAt = systemClock.monotonic();
    const { rows } = await database.query<{ name: string; server_ms: string }>(
      `SELECT w.name, extract(epoch FROM clock_timestamp()) * 1000 AS server_ms
       FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS w (name, position, stream_id)
       LEFT JOIN ${quoteIdentifier(schema)}.stream_heads s ON s.name = w.name
       WHERE s.next_index > w.position OR s.status <> 'open' OR (w.stream_id IS NOT NULL AND s.id IS DISTINCT FROM w.stream_id)`,
      [names, positions, streamIds],
      LOOK_TIMEOUT_MS,
      signal,
    );
    if (rows[0] !== undefined) this.options.serverClock.heard(Number(rows[0].server_ms), askedAt);
    return rows.map(({ name }) => name);
  }
}
