import type { PgStreamMetrics } from '../pg-stream.metrics.js';
import type { ResolvedPgStreamOptions } from '../pg-stream.options.js';
import type { RetentionStore } from './retention-store.js';

/** Streams of one statement that are looked at, or deleted. */
const BATCH_STREAMS = 500;

/** Streams that one sweep looks at for what is too old or too much: a few hundredths of a second, however many there are. */
const SWEEP_STREAMS = 2_000;

const FROM_THE_FIRST = '0';

export interface StreamRetentionOptions {
  readonly store: RetentionStore;
  readonly limits: ResolvedPgStreamOptions['retention'];
  /** A stream has lost its name: whoever reads it looks again. */
  readonly moved: (stream: string) => void;
  readonly metrics: PgStreamMetrics;
}

/**
 * Marks in the background what `retention` says is to be kept no longer: a step of each sweep, which then removes it.
 *
 * - Closed streams go in the order of their ends, found by an index.
 * - No append tells what a stream holds by now, so ages and sizes are looked at in turn, some streams a sweep, and the next sweep goes on there. One
 *   that somebody holds is left to the next round: an append holds it for a moment only. Even 32 callers of four processes that append without a
 *   pause leave their stream free at one look in seven.
 */
export class StreamRetention {
  private after = FROM_THE_FIRST;

  constructor(private readonly options: StreamRetentionOptions) {}

  /** @param mayGoOn asked before each statement. */
  async pass(signal: AbortSignal, mayGoOn: () => boolean): Promise<void> {
    const { closedForMs, maxAgeMs, maxBytes } = this.options.limits;
    if (closedForMs !== undefined) await this.expire(closedForMs, signal, mayGoOn);
    if (maxAgeMs !== undefined || maxBytes !== undefined) await this.retain(signal, mayGoOn);
  }

  private async expire(closedForMs: number, signal: AbortSignal, mayGoOn: () => boolean): Promise<void> {
    const { store, moved, metrics } = this.options;
    for (let count = BATCH_STREAMS; count === BATCH_STREAMS && mayGoOn();) {
      const names = await store.expire(BATCH_STREAMS, closedForMs, signal);
      count = names.length;
      metrics.add('sweep.expired', count, 'deleted');
      for (const name of names) moved(name);
    }
  }

  private async retain(signal: AbortSignal, mayGoOn: () => boolean): Promise<void> {
    const { store, limits, metrics } = this.options;
    for (let looked = 0; looked < SWEEP_STREAMS && mayGoOn();) {
      const look = await store.retain(this.after, BATCH_STREAMS, limits, signal);
      metrics.add('sweep.expired', look.trimmed, 'trimmed');
      this.after = look.lastId ?? FROM_THE_FIRST;
      if (look.lastId === undefined) return;
      looked += look.looked;
    }
  }
}
