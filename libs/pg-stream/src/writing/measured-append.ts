import { errorCode, secondsSince, systemClock } from '@nest-baton/core';
import type { Patient } from '../connecting/patience.js';
import type { PgStreamMetrics } from '../pg-stream.metrics.js';
import type { Appended } from './append-options.js';

const OUTCOMES = {
  STREAM_CLOSED: 'closed',
  PRODUCER_FENCED: 'fenced',
  PRODUCER_SEQ_GAP: 'gap',
  STREAM_UNAVAILABLE: 'unavailable',
  SHUTTING_DOWN: 'unavailable',
  APPEND_UNKNOWN: 'unknown',
} as const;

/** Counts one append, as its caller sees it, with the one outcome that it comes to. */
export async function measuredAppend(
  metrics: PgStreamMetrics,
  isInTransaction: boolean,
  append: () => Promise<Patient<Appended>>,
): Promise<Appended> {
  const startedAt = systemClock.monotonic();
  try {
    const { result, wasSentBefore } = await append();
    // A repetition of our own that finds its first attempt stored is no duplicate to count.
    const isDuplicate = result.duplicate && !wasSentBefore;
    metrics.add('appends', 1, isDuplicate ? 'duplicate' : isInTransaction ? 'in_transaction' : 'stored');
    if (!isDuplicate) metrics.record('append.duration', secondsSince(startedAt));
    return result;
  } catch (error) {
    metrics.add('appends', 1, OUTCOMES[errorCode(error) as keyof typeof OUTCOMES] ?? 'refused');
    throw error;
  }
}
