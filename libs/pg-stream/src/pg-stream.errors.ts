import { BatonError } from '@nest-baton/core';
import type { StreamEnd } from './reading/chunk.js';

/** Nobody has opened or written the stream. */
export class StreamNotFoundError extends BatonError {
  override readonly code = 'STREAM_NOT_FOUND';
}

/** The stream is closed; nothing was appended. `end` is how it was closed. */
export class StreamClosedError extends BatonError {
  override readonly code = 'STREAM_CLOSED';

  constructor(
    message: string,
    readonly end: StreamEnd,
  ) {
    super(message);
  }
}

/** A newer owner has opened the stream: `currentEpoch` is above yours. Nothing was written; stop the work. */
export class ProducerFencedError extends BatonError {
  override readonly code = 'PRODUCER_FENCED';

  constructor(
    message: string,
    readonly currentEpoch: number,
  ) {
    super(message);
  }
}

/** The producer skipped a number: an earlier call was never stored. Nothing was written. */
export class ProducerSeqGapError extends BatonError {
  override readonly code = 'PRODUCER_SEQ_GAP';

  constructor(
    message: string,
    readonly expectedSeq: number,
  ) {
    super(message);
  }
}

/** The next chunk's place, `nextIndex`, is not the `expectedIndex`. Nothing was written. */
export class ExpectedIndexMismatchError extends BatonError {
  override readonly code = 'EXPECTED_INDEX_MISMATCH';

  constructor(
    message: string,
    readonly nextIndex: number,
  ) {
    super(message);
  }
}

/** The stream was there before an `open` with `ifExists: 'fail'`. */
export class StreamExistsError extends BatonError {
  override readonly code = 'STREAM_EXISTS';
}

/** Somebody's transaction holds the stream for longer than `lockTimeout`. Nothing was written. */
export class StreamBusyError extends BatonError {
  override readonly code = 'STREAM_BUSY';

  constructor(message: string, options: { readonly cause?: unknown } = {}) {
    super(message, { ...options, retryable: true });
  }
}

/** The connection was lost while the append was under way: it may or may not be stored. Safe to repeat with the same `producer`. */
export class AppendUnknownError extends BatonError {
  override readonly code = 'APPEND_UNKNOWN';

  constructor(message: string, options: { readonly cause?: unknown } = {}) {
    super(message, { ...options, retryable: true });
  }
}

/** One chunk is larger than `maxChunkBytes`. Nothing was written. */
export class ChunkTooLargeError extends BatonError {
  override readonly code = 'CHUNK_TOO_LARGE';
}

/** A stream name is empty, longer than 512 bytes, or holds NUL. Nothing was written. */
export class StreamNameInvalidError extends BatonError {
  override readonly code = 'STREAM_NAME_INVALID';
}

/** A start index or a cursor that this stream cannot have given. */
export class CursorInvalidError extends BatonError {
  override readonly code = 'CURSOR_INVALID';
}

/** The position lies before `firstIndex`, the earliest chunk that is kept: what was there was trimmed, or was too old or too much to keep. */
export class CursorTrimmedError extends BatonError {
  override readonly code = 'CURSOR_TRIMMED';

  constructor(
    message: string,
    readonly firstIndex: number,
  ) {
    super(message);
  }
}

/** The stream was deleted while it was read. Another one may have its name by now. */
export class StreamDeletedError extends BatonError {
  override readonly code = 'STREAM_DELETED';
}

/** A chunk that is kept is not there any more: somebody changed the tables by hand. */
export class StreamDamagedError extends BatonError {
  override readonly code = 'STREAM_DAMAGED';
}

/**
 * Postgres cannot be reached, or it gave the transaction up in favour of another one (40001, 40P01: repeat the whole transaction).
 * Nothing was written by this call.
 */
export class StreamUnavailableError extends BatonError {
  override readonly code = 'STREAM_UNAVAILABLE';

  constructor(message: string, options: { readonly cause?: unknown } = {}) {
    super(message, { ...options, retryable: true });
  }
}

/** Too much was given to a writer without awaiting it. This chunk was not taken; await the ones before. */
export class WriterQueueFullError extends BatonError {
  override readonly code = 'WRITER_QUEUE_FULL';

  constructor(message: string) {
    super(message, { retryable: true });
  }
}
