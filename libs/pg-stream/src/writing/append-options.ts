import type { TransactionLike } from '@nest-baton/core';

/** Who writes, for fencing and for deduplication. */
export interface Producer {
  readonly id: string;
  /** Grows with each new owner of the stream; a lower one than the stream has seen is refused. A safe integer, at least 0. */
  readonly epoch: number;
  /** Counts calls, not chunks: 0 in a new epoch, then the last plus 1. At most the last: a duplicate. A gap is refused. */
  readonly seq: number;
}

export interface AppendOptions {
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

export interface OpenOptions {
  /** Streams that belong together. Set when the stream is created, and not changed after. */
  readonly group?: string;
  /** Commits the epoch before `open` resolves: from then on every older epoch is refused. */
  readonly producer?: { readonly id: string; readonly epoch: number };
}

export interface Appended {
  readonly firstIndex: number;
  readonly lastIndex: number;
  /** The producer had written this call already; the indexes are those of the stored chunk. Nothing was written. */
  readonly duplicate: boolean;
}
