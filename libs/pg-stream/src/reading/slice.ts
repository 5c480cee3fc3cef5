import { CursorInvalidError, CursorTrimmedError, StreamDamagedError, StreamDeletedError } from '../pg-stream.errors.js';
import type { Chunk, StreamEnd } from './chunk.js';
import { type CursorPosition, encodeCursor } from './cursor.js';

/** Chunks a reader holds at most. */
export const READ_LIMIT = 64;

/** A page's bytes, whatever its chunks; one chunk is always in it. */
export const MAX_PAGE_BYTES = 1024 * 1024;

/** What one query saw of a stream, all in one snapshot: some chunks, and where the stream stood. */
export interface StreamSlice {
  readonly streamId: number;
  /** Where it begins: the position asked for, or the earliest kept one where none was. */
  readonly position: number;
  /** The earliest chunk that is kept. */
  readonly firstIndex: number;
  readonly nextIndex: number;
  readonly end: StreamEnd | undefined;
  readonly chunks: readonly Chunk[];
  /** Other readers have the same chunks. */
  readonly isShared?: true;
}

/**
 * What a query would have seen from the place on at which a commit has just put `given`: the stream was open then, and nothing lay behind them.
 * `undefined` where it is more than a reader may hold. Pure.
 */
export function landedSlice(
  streamId: number,
  position: number,
  given: readonly Uint8Array[],
  createdAt: Date,
): StreamSlice | undefined {
  if (given.length > READ_LIMIT || given.reduce((bytes, { length }) => bytes + length, 0) > MAX_PAGE_BYTES)
    return undefined;
  const chunks = given.map((data, nth) => chunkOf(streamId, position + nth, data, createdAt));
  const nextIndex = position + chunks.length;
  return { streamId, position, firstIndex: position, nextIndex, end: undefined, chunks, isShared: true };
}

/** Pure. */
export function chunkOf(streamId: number, index: number, data: Uint8Array, createdAt: Date): Chunk {
  return { index, cursor: encodeCursor({ streamId, position: index + 1, isEnd: false }), data, createdAt };
}

/** For a consumer, who may write into its data. Pure. */
export function ownChunk({ isShared }: StreamSlice, chunk: Chunk): Chunk {
  return isShared === true ? { ...chunk, data: Buffer.from(chunk.data) } : chunk;
}

/** Where a reader stands who has taken the slice. Pure. */
export function positionAfter({ chunks, position }: StreamSlice): number {
  const last = chunks.at(-1);
  return last === undefined ? position : last.index + 1;
}

/**
 * Fails closed: a slice begins exactly where it was asked to and has no hole, or nothing of it is used. Pure.
 *
 * @throws CursorTrimmedError, StreamDamagedError
 */
export function checkContiguous(stream: string, slice: StreamSlice): void {
  const { position, firstIndex, nextIndex, chunks } = slice;
  if (position < firstIndex)
    throw new CursorTrimmedError(
      `the stream '${stream}' keeps its chunks from ${firstIndex} on, and not ${position}: read it from there, or without a start.`,
      firstIndex,
    );
  let due = position;
  for (const { index } of chunks) {
    if (index !== due) throw damaged(stream, `chunk ${index} came where ${due} was due`);
    due++;
  }
  if (chunks.length === 0 && position < nextIndex)
    throw damaged(stream, `chunk ${position} is missing, although ${nextIndex} were stored`);
}

/** Pure. @throws CursorInvalidError when `cursor` was not given by this stream as it is now. */
export function checkCursor(stream: string, slice: StreamSlice | undefined, cursor: CursorPosition | undefined): void {
  if (cursor === undefined) return;
  const isOfStream = slice?.streamId === cursor.streamId && cursor.position <= slice.nextIndex;
  if (!isOfStream || (cursor.isEnd && (slice.end === undefined || cursor.position !== slice.nextIndex)))
    throw new CursorInvalidError(
      `the cursor was not given by the stream '${stream}', or by one of that name which was deleted: read it from an index.`,
    );
}

/** Pure. @throws StreamDeletedError when the stream that is read is gone, or another one has its name. */
export function checkSameStream(stream: string, slice: StreamSlice | undefined, streamId: number | undefined): void {
  if (streamId === undefined || slice?.streamId === streamId) return;
  const instead = slice === undefined ? '' : ', and another one has its name';
  throw new StreamDeletedError(`the stream '${stream}' was deleted while it was read${instead}.`);
}

function damaged(stream: string, what: string): StreamDamagedError {
  return new StreamDamagedError(`the stream '${stream}' was changed outside of this module: ${what}.`);
}
