import type { Random } from '@nest-baton/core';
import type { Answer } from '../sending/answer.js';
import type { AttemptOutcome, DeliveryReason } from '../delivering/delivery.js';
import { type Control, readControl } from './control-header.js';
import { readRetryAfter } from './retry-after.js';

/** What is written when an attempt is over. */
export interface Settlement {
  readonly state: 'ready' | 'delivered' | 'failed' | 'dead';
  readonly outcome: Exclude<AttemptOutcome, 'unknown'>;
  readonly reason: DeliveryReason;
  readonly status: number | null;
  readonly error: string | null;
  /** Until the next attempt; 0 in terminal states. */
  readonly retryInMs: number;
  /** The endpoint asked to be left alone for so long, with all its deliveries; 0 when it did not. */
  readonly pauseMs: number;
  /** The endpoint wants no webhooks any more. */
  readonly isGone: boolean;
}

export interface OutcomeRules {
  readonly scheduleMs: readonly number[];
  readonly retryAfterCapMs: number;
}

/** One of each answer that says "later": the rest of 4xx will be said again however often it is asked. */
const RETRIED_STATUSES = [408, 409, 425, 429];

/** With `Retry-After` these speak of the endpoint, and not of the one request. */
const PAUSING_STATUSES = [429, 503];
const GONE = 410;

/** An answer to an attempt that was not cut short by this process. */
export type CompleteAnswer = Exclude<Answer, { kind: 'cut' }>;

/**
 * What becomes of a delivery after its `attempts`th attempt (from 1); pure.
 *
 * | answer | becomes |
 * | --- | --- |
 * | 2xx | delivered |
 * | 1xx, 3xx | failed: redirects are not followed |
 * | 408, 409, 425, 429, 5xx, network, timeout | another attempt by the schedule, `Retry-After` heeded; dead when the schedule is used up |
 * | 429, 503 with `Retry-After` | the same, and the endpoint is left alone for as long |
 * | other 4xx | failed; with 410 the endpoint wants nothing any more |
 * | with `webhook-delivery: abort-message` | what would be tried again is failed |
 * | with `webhook-delivery: disable` | the same, and the endpoint wants nothing any more, whatever the status |
 * | destination refused by the guard | failed |
 */
export function settlementOf(
  answer: CompleteAnswer,
  attempts: number,
  rules: OutcomeRules,
  now: number,
  random: Random,
): Settlement {
  switch (answer.kind) {
    case 'refused':
      return final('failed', 'refused-destination', null, answer.error);
    case 'timeout':
      return later('timeout', null, 'no complete answer in time', undefined);
    case 'network':
      return later('network', null, answer.error, undefined);
    case 'answer':
      return controlled(ofStatus(answer.status, answer.text, answer.retryAfter), readControl(answer.control));
  }

  function ofStatus(status: number, text: string, retryAfter: string | undefined): Settlement {
    if (status >= 200 && status < 300) return final('delivered', 'answered', status, null);
    if (status < 400) return final('failed', 'redirected', status, text);
    if (status >= 500 || RETRIED_STATUSES.includes(status))
      return pausing(status, later('answered', status, text, readRetryAfter(retryAfter, now)));
    return { ...final('failed', 'answered', status, text), isGone: status === GONE };
  }

  function later(
    reason: DeliveryReason,
    status: number | null,
    error: string,
    retryAfterMs: number | undefined,
  ): Settlement {
    const pauseMs = Math.min(retryAfterMs ?? 0, rules.retryAfterCapMs);
    const pause = rules.scheduleMs[attempts - 1];
    if (pause === undefined)
      return {
        state: 'dead',
        outcome: 'retry',
        reason: 'exhausted',
        status,
        error,
        retryInMs: 0,
        pauseMs,
        isGone: false,
      };
    const jittered = pause * (0.8 + 0.4 * random());
    const retryInMs = Math.max(jittered, pauseMs);
    return { state: 'ready', outcome: 'retry', reason, status, error, retryInMs, pauseMs, isGone: false };
  }

  function pausing(status: number, settlement: Settlement): Settlement {
    return PAUSING_STATUSES.includes(status) ? settlement : { ...settlement, pauseMs: 0 };
  }
}

function final(
  state: 'delivered' | 'failed',
  reason: DeliveryReason,
  status: number | null,
  error: string | null,
): Settlement {
  return { state, outcome: state, reason, status, error, retryInMs: 0, pauseMs: 0, isGone: false };
}

/** What was delivered stays so, and a pause that was asked for is heeded all the same. */
function controlled(settlement: Settlement, control: Control | undefined): Settlement {
  if (control === undefined) return settlement;
  const isOpen = settlement.outcome === 'retry';
  const ended = isOpen ? final('failed', 'answered', settlement.status, settlement.error) : settlement;
  return { ...ended, pauseMs: settlement.pauseMs, isGone: ended.isGone || control === 'disable' };
}
