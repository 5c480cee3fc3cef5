/** A limit that a 413 taught is forgotten after this time without another, in milliseconds: the seed's `ResetBatchSizeAfter`. */
export const FORGET_AFTER_MS = 10 * 60_000;

/** What is known about the size of requests, in bytes on the wire: that is what servers and proxies check. */
export interface WireLimit {
  /** Infinity until a 413 taught better. */
  readonly maxWireBytes: number;
  /** When the last 413 came, on the monotonic clock. */
  readonly learnedAtMs: number;
  /** The largest request that was accepted since. */
  readonly acceptedWireBytes: number;
  /** Bytes on the wire for each uncompressed byte, of the last request. */
  readonly ratio: number;
}

export const NO_LIMIT: WireLimit = { maxWireBytes: Infinity, learnedAtMs: -Infinity, acceptedWireBytes: 0, ratio: 1 };

/** After a 413 for `wireBytes`: half of it, but no less than what went through. Pure. */
export function afterTooLarge(limit: WireLimit, wireBytes: number, nowMs: number): WireLimit {
  const knownGood = limit.acceptedWireBytes < wireBytes ? limit.acceptedWireBytes : 0;
  const maxWireBytes = Math.max(1, Math.floor(wireBytes / 2), knownGood);
  return { ...limit, maxWireBytes, acceptedWireBytes: knownGood, learnedAtMs: nowMs };
}

/** After a request was accepted. Pure. */
export function afterAccepted(limit: WireLimit, wireBytes: number, rawBytes: number): WireLimit {
  const acceptedWireBytes = Math.max(limit.acceptedWireBytes, wireBytes);
  return { ...limit, acceptedWireBytes, ratio: rawBytes > 0 ? wireBytes / rawBytes : limit.ratio };
}

/** The limit as it holds at `nowMs`. Pure. */
export function currentWireLimit(limit: WireLimit, nowMs: number): number {
  return nowMs - limit.learnedAtMs >= FORGET_AFTER_MS ? Infinity : limit.maxWireBytes;
}

/** Uncompressed bytes that a new batch should not pass, with the last request's compression. Pure. */
export function batchBytesUnder(limit: WireLimit, maxBatchBytes: number, nowMs: number): number {
  const maxWireBytes = currentWireLimit(limit, nowMs);
  return Math.max(1, Math.min(maxBatchBytes, Math.floor(maxWireBytes / limit.ratio)));
}
