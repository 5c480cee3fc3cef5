/** One element of a stream. */
export interface Chunk {
  /** Its dense position, from 0. */
  readonly index: number;
  /** Opaque; names the position after this chunk. Read on from there with `cursor`. */
  readonly cursor: string;
  readonly data: Uint8Array;
  readonly createdAt: Date;
}

export type StreamStatus = 'open' | 'done' | 'error' | 'aborted';

/** How a stream ended. Readers end normally whatever the status. */
export interface StreamEnd {
  readonly status: Exclude<StreamStatus, 'open'>;
  readonly message?: string;
}

export interface ReadOptions {
  /** First index wanted, at least 0. Default: the earliest chunk that is kept. Not together with `cursor`. */
  readonly startIndex?: number;
  readonly cursor?: string;
  /** False: end at the present tail instead of waiting. Default true. */
  readonly live?: boolean;
  /** A stream nobody opened yet: wait for it, or throw `STREAM_NOT_FOUND`. Default `wait`, and `fail` with `live: false`. */
  readonly ifMissing?: 'wait' | 'fail';
  readonly signal?: AbortSignal;
}

/**
 * Chunks in order, without gap or repetition. Holds at most one page in memory; the next page is read when this one has been taken.
 * Ending the iteration (`break`, `return()`, the signal) frees everything.
 */
export interface StreamReader extends AsyncIterable<Chunk> {
  /** Resolves at the end of the stream; `undefined` when the reader ended before it. Never rejects. */
  readonly ended: Promise<StreamEnd | undefined>;
}

export interface PageOptions {
  /** As in `ReadOptions`. */
  readonly startIndex?: number;
  readonly cursor?: string;
  /** Chunks, 1 to 1 000. Default 100. A page also ends at 1 MiB, with at least one chunk. */
  readonly limit?: number;
}

/** What is there now, without waiting. */
export interface Page {
  readonly data: readonly Chunk[];
  /** Where the next page starts, also when this one is empty. */
  readonly cursor: string;
  readonly hasMore: boolean;
  /** The stream is closed and nothing lies after this page. */
  readonly done: boolean;
}

export interface StreamInfo {
  /** Index of the last chunk; -1 when there is none. */
  readonly tailIndex: number;
  /** Index of the earliest chunk that is kept, where readers without a start begin; `tailIndex` + 1 when none is. */
  readonly firstIndex: number;
  /** Bytes of the chunks that are kept. */
  readonly keptBytes: number;
  readonly done: boolean;
  readonly status: StreamStatus;
  readonly message?: string;
  readonly group?: string;
  readonly createdAt: Date;
  /** When the last chunk was written. */
  readonly writtenAt?: Date;
  readonly closedAt?: Date;
  /** Of an open stream with a `writerLease`: a sweep that finds `until` passed closes it as `aborted`. */
  readonly lease?: { readonly ms: number; readonly until: Date };
  /** Of the producer asked for, when it has written or opened. `lastSeq` is -1 before its first call in this epoch; `lastIndex` is where that call ended, unless it closed the stream. */
  readonly producer?: { readonly epoch: number; readonly lastSeq: number; readonly lastIndex?: number };
}

export interface EventsOptions {
  /** What `@LastEventId()` gives: where to read on. Undefined: from `startIndex`. */
  readonly cursor?: string | undefined;
  /** Used when there is no `cursor`. Default: the earliest chunk that is kept. */
  readonly startIndex?: number;
  /** What `@SseSignal()` gives: aborts when the client leaves while its position is looked up. */
  readonly signal?: AbortSignal;
  /** Comments that keep proxies from closing a quiet connection. Default: `heartbeat` of the module, 15 s; 0 sends none, as Nest 11 needs it. */
  readonly heartbeatMs?: number;
}

export interface SseOptions {
  /** Used when the request has neither a `Last-Event-ID` header nor a `lastEventId` in its query. */
  readonly startIndex?: number;
  readonly signal?: AbortSignal;
  /** Comment lines that keep proxies from closing a quiet connection. Default 15 s; 0 sends none. */
  readonly heartbeatMs?: number;
}
