import { errorCode, secondsSince, systemClock } from '@nest-baton/core';
import type { Placed } from '../flushing/write-call.js';
import type { PgStreamMetrics } from '../pg-stream.metrics.js';
import type { Appended } from './append-options.js';

const OUTCOMES = {
  STREAM_CLOSED: 'closed',
  PRODUCER_FENCED: 'fenced',
  PRODUCER_SEQ_GAP: 'gap',
  EXPECTED_INDEX_MISMATCH: 'misplaced',
  STREAM_BUSY: 'busy',
  STREAM_UNAVAILABLE: 'unavailable',
  SHUTTING_DOWN: 'unavailable',
  APPEND_UNKNOWN: 'unknown',
} as const;

/** Counts one append, as its caller sees it, with the one outcome that it comes to. */
export async function measuredAppend(
  metrics: PgStreamMetrics,
  isInTransaction: boolean,
  append: () => Promise<Placed>,
): Promise<Appended> {
  const startedAt = systemClock.monotonic();
  try {
    const { firstIndex, lastIndex, duplicate, wasSentBefore } = await append();
    // A repetition of our own that finds its first attempt stored is no duplicate to count.
    const isDuplicate = duplicate && !wasSentBefore;
    metrics.add('appends', 1, isDuplicate ? 'duplicate' : isInTransaction ? 'in_transaction' : 'stored');
    if (!isDuplicate) metrics.record('append.duration', secondsSince(startedAt));
    return { firstIndex, lastIndex, duplicate };
  } catch (error) {
    metrics.add('appends', 1, OUTCOMES[errorCode(error) as keyof typeof OUTCOMES] ?? 'refused');
    throw error;
  }
}
