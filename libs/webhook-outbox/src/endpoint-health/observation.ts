import type { Settlement } from '../outcomes/outcome.js';

/**
 * What outcomes of one endpoint, in their order, say about it.
 *
 * - `isAnswered`: it gave a final answer, which shuts its breaker; `failures` counts those after the last such answer.
 * - `isDelivered`: it said 2xx, which ends its failing; `events` counts different events that failed after the last 2xx.
 */
export interface Observation {
  readonly isAnswered: boolean;
  readonly isDelivered: boolean;
  /** The last outcome was none of 2xx. */
  readonly isFailing: boolean;
  readonly failures: number;
  readonly events: number;
  /** It asked to be left alone for so long; 0 when it did not. */
  readonly pauseMs: number;
  /** It said that it wants nothing any more. */
  readonly isGone: boolean;
}

export const NOTHING_SEEN: Observation = Object.freeze({
  isAnswered: false,
  isDelivered: false,
  isFailing: false,
  failures: 0,
  events: 0,
  pauseMs: 0,
  isGone: false,
});

/**
 * What is known after one more outcome; pure. An event counts with its first attempt, so that retries are not other events. What says nothing
 * about the endpoint changes nothing: a destination that our guard refuses keeps it failing, but is no reason to spare it.
 */
export function observe(seen: Observation, attempt: number, settlement: Settlement): Observation {
  if (settlement.reason === 'event-missing') return seen;
  const pauseMs = Math.max(seen.pauseMs, settlement.pauseMs);
  const isGone = seen.isGone || settlement.isGone;
  if (settlement.state === 'delivered')
    return { isAnswered: true, isDelivered: true, isFailing: false, failures: 0, events: 0, pauseMs, isGone };
  const failed = { ...seen, isFailing: true, events: seen.events + (attempt === 1 ? 1 : 0), pauseMs, isGone };
  if (settlement.outcome === 'retry') return { ...failed, failures: seen.failures + 1 };
  if (settlement.reason === 'refused-destination') return failed;
  return { ...failed, isAnswered: true, failures: 0 };
}
