import type { Queryable } from '@nest-baton/core';
import { type ClaimedDelivery, ClaimStore } from '../../../libs/webhook-outbox/src/claiming/claim-store.js';

/** Claims as a relay does, for endpoints without a limit that all processes share; nothing of it is sent or given back. */
export function claimer(on: Queryable, leaseMs: number): (limit: number) => Promise<readonly ClaimedDelivery[]> {
  const store = new ClaimStore(on, '"baton"');
  return (limit) => store.claim({ limit, leaseMs, maxInFlight: 32, held: new Map() });
}
