import { CursorInvalidError } from '../pg-stream.errors.js';

/** A position in one stream. */
export interface CursorPosition {
  /** Of the stream's row: another stream of the same name is another stream. */
  readonly streamId: number;
  /** Index of the next chunk. */
  readonly position: number;
  /** The reader has also seen how the stream ended. */
  readonly isEnd: boolean;
}

/** Cursors are texts that HTTP headers, URLs and logs carry unchanged. `1`: the layout. Pure. */
export function encodeCursor({ streamId, position, isEnd }: CursorPosition): string {
  return Buffer.from(`1:${streamId}:${position}${isEnd ? ':end' : ''}`).toString('base64url');
}

/** Accepts exactly what `encodeCursor` gives. Pure. @throws CursorInvalidError */
export function decodeCursor(cursor: string): CursorPosition {
  // A cursor has at most 54 characters; what is longer need not be read.
  if (typeof cursor === 'string' && cursor.length <= 64) {
    const match = /^1:(\d+):(\d+)(:end)?$/.exec(Buffer.from(cursor, 'base64url').toString('latin1'));
    if (match !== null) {
      const decoded = { streamId: Number(match[1]), position: Number(match[2]), isEnd: match[3] !== undefined };
      if (Number.isSafeInteger(decoded.position) && encodeCursor(decoded) === cursor) return decoded;
    }
  }
  throw new CursorInvalidError(
    'this is not a cursor that a stream has given: read on with one of a chunk, or from an index.',
  );
}

/** Where a reader begins. */
export interface Start {
  /** Undefined: at the earliest chunk that is kept. */
  readonly position: number | undefined;
  readonly cursor: CursorPosition | undefined;
}

/** Pure. @throws CursorInvalidError */
export function startOf(given: { readonly startIndex?: number; readonly cursor?: string }): Start {
  const { startIndex, cursor } = given;
  if (startIndex !== undefined && cursor !== undefined)
    throw new CursorInvalidError('startIndex and cursor exclude each other: give one of them.');
  if (cursor !== undefined) {
    const decoded = decodeCursor(cursor);
    return { position: decoded.position, cursor: decoded };
  }
  if (startIndex === undefined) return { position: undefined, cursor: undefined };
  if (!Number.isSafeInteger(startIndex) || startIndex < 0)
    throw new CursorInvalidError(`startIndex must be a whole number of at least 0, not ${String(startIndex)}.`);
  return { position: startIndex, cursor: undefined };
}
