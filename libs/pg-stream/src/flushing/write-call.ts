import type { EndRow, Producer } from '../writing/append-options.js';
import type { WriteItem } from '../writing/write-encoding.js';

/** What one caller asks of one stream: chunks to append, or an end. */
export interface WriteRequest {
  readonly stream: string;
  readonly chunks: readonly Buffer[];
  readonly producer?: Producer | undefined;
  readonly expectedIndex?: number | undefined;
  readonly end?: EndRow | undefined;
  readonly owner?: WriteOwner | undefined;
}

/** Who has made several calls in an order that counts: those behind one that was refused are refused with it, and never overtake it. */
export interface WriteOwner {
  /** A call was refused, and all behind it. Called before any of them rejects. */
  refused(error: unknown): void;
}

/** Where the chunks of one call are; -1 where that is not known, or for a close. */
export interface Placed {
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly duplicate: boolean;
  /** An attempt before may have come through unanswered: `duplicate` is then that attempt's own work. */
  readonly wasSentBefore: boolean;
}

/** One request on its way, until `resolve` or `reject`. */
export interface WriteCall extends WriteRequest {
  readonly weight: number;
  /** Set by an earlier answer: it shares its statement's item with no other call. */
  isAlone: boolean;
  /** A statement with it has left and was not answered. */
  wasSent: boolean;
  /** When, on the monotonic clock, it is given up instead of repeated; set by the first lost connection, or the first lock that was in the way. */
  repeatUntil?: number;
  lockedUntil?: number;
  resolve(placed: Placed): void;
  reject(error: unknown): void;
}

/** Calls of one stream that share an item, and stay together until they are answered. */
export interface CallGroup {
  readonly stream: string;
  readonly calls: readonly WriteCall[];
  readonly item: WriteItem;
  readonly bytes: number;
}

/** A statement takes this long at most to travel, also when one stream gets all of it. */
const MAX_GROUP_BYTES = 4 * 1024 * 1024;
const MAX_GROUP_CHUNKS = 10_000;

/** Whether repeating the call can store nothing twice: a producer's number or an end is recognised, a bare append is not. Pure. */
export function mayRepeat({ producer, end }: WriteRequest): boolean {
  return producer !== undefined || end !== undefined;
}

/**
 * The first calls of a stream's line that can share an item, at least one: bare appends, or appends of one producer with consecutive numbers. A close or
 * an expected index is decided alone, since it depends on all before it. Pure.
 */
export function groupFirst(line: readonly WriteCall[]): CallGroup {
  const first = line[0] as WriteCall;
  const calls = [first];
  const chunks = [...first.chunks];
  let bytes = bytesOf(first);
  if (isFoldable(first))
    for (let nth = 1; nth < line.length; nth++) {
      const call = line[nth] as WriteCall;
      if (!follows(calls[nth - 1] as WriteCall, call)) break;
      bytes += bytesOf(call);
      if (bytes > MAX_GROUP_BYTES || chunks.length + call.chunks.length > MAX_GROUP_CHUNKS) break;
      calls.push(call);
      for (const chunk of call.chunks) chunks.push(chunk);
    }
  const { stream, producer, expectedIndex, end } = first;
  const lastCallChunks = (calls.at(-1) as WriteCall).chunks.length;
  const item: WriteItem = { stream, chunks, producer, calls: calls.length, lastCallChunks, expectedIndex, end };
  return { stream, calls, item, bytes };
}

function isFoldable(call: WriteCall): boolean {
  return !call.isAlone && call.expectedIndex === undefined && call.end === undefined;
}

function follows(before: WriteCall, call: WriteCall): boolean {
  if (!isFoldable(call)) return false;
  const [one, next] = [before.producer, call.producer];
  if (one === undefined || next === undefined) return one === next;
  return one.id === next.id && one.epoch === next.epoch && one.seq + 1 === next.seq;
}

function bytesOf({ chunks }: WriteRequest): number {
  let bytes = 0;
  for (const { length } of chunks) bytes += length;
  return bytes;
}
