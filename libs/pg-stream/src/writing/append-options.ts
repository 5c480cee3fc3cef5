import type { Duration, TransactionLike } from '@nest-baton/core';

/** Who writes, for fencing and for deduplication. */
export interface Producer {
  readonly id: string;
  /** Grows with each new owner of the stream; a lower one than the stream has seen is refused. A safe integer, at least 0. */
  readonly epoch: number;
  /** Counts calls, not chunks: 0 in a new epoch, then the last plus 1. At most the last: a duplicate. A gap is refused. */
  readonly seq: number;
}

export interface AppendOptions {
  /** The place of the first chunk: refused with `EXPECTED_INDEX_MISMATCH` when the stream goes on elsewhere. A safe integer, at least 0. */
  readonly expectedIndex?: number;
  readonly producer?: Producer;
  /** The caller's open transaction: the append commits with it. The index is provisional until then. */
  readonly transaction?: TransactionLike;
}

export interface CloseOptions extends AppendOptions {
  /** Default `done`. */
  readonly status?: 'done' | 'error' | 'aborted';
  /** For people, at most 2 000 characters; longer ones are cut. */
  readonly message?: string;
}

/** The end as it is stored. */
export interface EndRow {
  readonly status: 'done' | 'error' | 'aborted';
  readonly message: string | null;
}

export interface OpenOptions {
  /** Streams that belong together. Set when the stream is created, and not changed after. */
  readonly group?: string;
  /** Commits the epoch before `open` resolves: from then on every older epoch is refused. */
  readonly producer?: { readonly id: string; readonly epoch: number };
  /**
   * How long the stream may see neither an append nor `renew()` until it is closed as `aborted`, so that no reader waits for ever for a writer that
   * died. Whole milliseconds, 1 s to 24 days; too short and a pause of the writer ends the stream. Default: as it was before, at first none.
   */
  readonly writerLease?: Duration;
  /** `fail`: refused with `STREAM_EXISTS` when somebody has opened or written the stream before. Default `resume`. */
  readonly ifExists?: 'resume' | 'fail';
}

export interface Appended {
  /** -1: not known any more, since the producer has made other calls after this duplicate; or an empty list was appended. */
  readonly firstIndex: number;
  readonly lastIndex: number;
  /** The producer had written this call already; the indexes are those of the stored chunks. Nothing was written. */
  readonly duplicate: boolean;
}
