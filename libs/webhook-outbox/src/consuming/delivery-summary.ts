import type { DeliveryState } from '../delivering/delivery.js';
import type { FoundDelivery, FoundEvent } from './consumed-store.js';

/**
 * Where one delivery of an event stands.
 *
 * - `settled`: nobody sends it again.
 * - `retryAt`: it is due again then, or is due and its endpoint's rate lets the next request through not before.
 * - `heldElsewhere`: another process sends it at this moment.
 * - `deferred`: it is due, and could not be sent now: its endpoint has no free slot, is paused or fails, it waits for
 *   its turn, of which the queue is told, or the process stops.
 */
export type DeliveryStanding = { readonly deliveryId: string; readonly endpointId: string } & (
  | { readonly result: 'settled'; readonly state: Exclude<DeliveryState, 'queued' | 'ready' | 'leased'> }
  | { readonly result: 'retryAt'; readonly retryAt: Date }
  | { readonly result: 'heldElsewhere' }
  | { readonly result: 'deferred' }
);

/** What `deliver` came to. Whatever it says, the message is done with: what is not settled, the sweep hands over again in time. */
export interface DeliverySummary {
  readonly outboxId: string;
  /** There is no such event: it was cleaned up after its deliveries had settled, or there never was one. */
  readonly isGone: boolean;
  /** More than 200 endpoints want it, and not all of its deliveries have been made: the queue is told of it again when they are. */
  readonly isFanOutPending: boolean;
  readonly deliveries: readonly DeliveryStanding[];
}

/** Pure. */
export function summaryOf(outboxId: string, found: FoundEvent | undefined): DeliverySummary {
  const { deliveries = [], isFanOutPending = false } = found ?? {};
  return { outboxId, isGone: found === undefined, isFanOutPending, deliveries: deliveries.map(standingOf) };
}

function standingOf({ id: deliveryId, endpointId, state, isDue, nextAt, tokenAt }: FoundDelivery): DeliveryStanding {
  switch (state) {
    case 'leased':
      return { deliveryId, endpointId, result: 'heldElsewhere' };
    case 'queued':
      return { deliveryId, endpointId, result: 'deferred' };
    case 'ready':
      if (isDue && tokenAt === null) return { deliveryId, endpointId, result: 'deferred' };
      return { deliveryId, endpointId, result: 'retryAt', retryAt: (isDue ? tokenAt : null) ?? nextAt };
    default:
      return { deliveryId, endpointId, result: 'settled', state };
  }
}
