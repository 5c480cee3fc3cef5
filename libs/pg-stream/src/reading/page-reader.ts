import { OptionsInvalidError } from '@nest-baton/core';
import { StreamNotFoundError } from '../pg-stream.errors.js';
import type { Page, PageOptions } from './chunk.js';
import { encodeCursor, startOf } from './cursor.js';
import type { SliceSource } from './slice-source.js';
import { checkContiguous, checkCursor, ownChunk, positionAfter } from './slice.js';

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 1_000;

/** What is there now, one page. @throws StreamNotFoundError, CursorInvalidError, CursorTrimmedError, OptionsInvalidError */
export async function readPage(slices: SliceSource, stream: string, options: PageOptions): Promise<Page> {
  const { limit = DEFAULT_LIMIT } = options;
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > MAX_LIMIT)
    throw new OptionsInvalidError('a page', [
      `limit must be a whole number from 1 to ${MAX_LIMIT}, not ${String(limit)}`,
    ]);
  const start = startOf(options);
  const slice = await slices.slice(stream, start.position, limit);
  checkCursor(stream, slice, start.cursor);
  if (slice === undefined) throw new StreamNotFoundError(`nobody has opened or written the stream '${stream}'.`);
  checkContiguous(stream, slice);
  const after = positionAfter(slice);
  const hasMore = after < slice.nextIndex;
  // From beyond the tail the next page starts at the tail: a cursor names a position that the stream has reached.
  const position = Math.min(after, slice.nextIndex);
  return {
    data: slice.chunks.map((chunk) => ownChunk(slice, chunk)),
    cursor: encodeCursor({ streamId: slice.streamId, position, isEnd: false }),
    hasMore,
    done: slice.end !== undefined && !hasMore,
  };
}
