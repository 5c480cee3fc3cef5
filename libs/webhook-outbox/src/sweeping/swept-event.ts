import type { Duration } from '@nest-baton/core';
import type { ClaimedEvent } from './hand-off-store.js';

/**
 * An event that a sweep found: hand it over to your queue again, under the same `outboxId`. No other sweep finds it until `leaseUntil`.
 *
 * Each of the three resolves to false when the sweep lease is not yours any more: it ran out and another sweep has the event, or the event was
 * delivered meanwhile. Nothing was written then.
 */
export interface SweptEvent extends ClaimedEvent {
  /** The event is dealt with: the next sweep finds it after `handOffGrace`, and none ever when all its deliveries have settled. */
  complete(): Promise<boolean>;
  /** Gives the event up: every delivery of it that is open and that nobody sends at this moment is dead, reason `given-up`. */
  fail(error: unknown): Promise<boolean>;
  /** It could not be handed over, because of `error`, which is logged; the next sweep finds it after `delay`, at most 365 days. */
  reschedule(error: unknown, delay: Duration): Promise<boolean>;
}

export interface SweepOptions {
  /** Events. Default 100, at most 1 000. */
  readonly limit?: number;
  /** How long no other sweep finds them: as long as your queue may take, its retries included. Default `handOffGrace`, at most 24 h. */
  readonly lease?: Duration;
}
