import type { Clock, Random } from '@nest-baton/core';

/** The protocol's default: 9 October 2024. */
const EPOCH_MS = Date.UTC(2024, 9, 9);
const INTERVAL_MS = 20_000;
/** 3 600 s in intervals. */
const MAX_JITTER = 180;

/**
 * What a live answer carries so that the next request of the client has another URL: the number of the present interval, and above what
 * the client has already, so that no cache can answer it with the same answer for ever. Pure.
 */
export function liveCursor(given: string | undefined, clock: Clock, random: Random): string {
  const now = Math.floor((clock.now() - EPOCH_MS) / INTERVAL_MS);
  const last = given !== undefined && /^\d{1,15}$/.test(given) ? Number(given) : -1;
  return String(last < now ? now : last + 1 + Math.floor(random() * MAX_JITTER));
}
