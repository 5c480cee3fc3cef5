import { CursorInvalidError, StreamDamagedError } from '../pg-stream.errors.js';
import type { Chunk, StreamEnd } from './chunk.js';
import type { CursorPosition } from './cursor.js';

/** What one query saw of a stream, all in one snapshot: some chunks, and where the stream stood. */
export interface StreamSlice {
  readonly streamId: number;
  readonly nextIndex: number;
  readonly end: StreamEnd | undefined;
  readonly chunks: readonly Chunk[];
}

/** Where a reader stands who has taken the slice. Pure. */
export function positionAfter(slice: StreamSlice, position: number): number {
  const last = slice.chunks.at(-1);
  return last === undefined ? position : last.index + 1;
}

/**
 * Fails closed: a slice begins exactly where it was asked to and has no hole, or nothing of it is used. Pure.
 *
 * @throws StreamDamagedError
 */
export function checkContiguous(stream: string, slice: StreamSlice, position: number): void {
  let due = position;
  for (const { index } of slice.chunks) {
    if (index !== due) throw damaged(stream, `chunk ${index} came where ${due} was due`);
    due++;
  }
  if (slice.chunks.length === 0 && position < slice.nextIndex)
    throw damaged(stream, `chunk ${position} is missing, although ${slice.nextIndex} were stored`);
}

/** Pure. @throws CursorInvalidError when `cursor` was not given by this stream as it is now. */
export function checkCursor(stream: string, slice: StreamSlice | undefined, cursor: CursorPosition | undefined): void {
  if (cursor === undefined) return;
  const isOfStream = slice?.streamId === cursor.streamId && cursor.position <= slice.nextIndex;
  if (!isOfStream || (cursor.isEnd && (slice.end === undefined || cursor.position !== slice.nextIndex)))
    throw new CursorInvalidError(`the cursor was not given by the stream '${stream}': read it from an index.`);
}

/** Pure. @throws StreamDamagedError when the stream that is read is gone, or was replaced by another of its name. */
export function checkSameStream(stream: string, slice: StreamSlice | undefined, streamId: number | undefined): void {
  if (streamId === undefined) return;
  if (slice === undefined) throw damaged(stream, 'it was removed while it was read');
  if (slice.streamId !== streamId) throw damaged(stream, 'it was removed and created again while it was read');
}

function damaged(stream: string, what: string): StreamDamagedError {
  return new StreamDamagedError(`the stream '${stream}' was changed outside of this module: ${what}.`);
}
