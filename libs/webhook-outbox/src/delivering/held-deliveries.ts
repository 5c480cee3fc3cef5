import type { OpenEndpoint } from '../endpoints/endpoint-directory.js';
import { ALL_SLOTS, type ClaimedDelivery, type SlotsTaken } from '../claiming/claim-store.js';

/**
 * One claim in this process.
 *
 * `opening`: its endpoint is looked up. `buffered`: waits to be started. `starting`: its count is being written. `sending`: its request runs. `settling`: its outcome waits to be
 * written. Ended by its settle, by a release, or by the loss of its lease.
 */
export interface Held {
  readonly claim: ClaimedDelivery;
  state: 'opening' | 'buffered' | 'starting' | 'sending' | 'settling';
  /** Monotonic; counted from before the statement that leased, so it is never later than the database's. */
  leaseEndsAt: number;
  /** Requests started, this one included once it is. */
  attempts: number;
  /** When the database counted the request. */
  startedAt: string;
  endpoint: OpenEndpoint | undefined;
}

/** Every claim that this process holds, and the slots they take. */
export class HeldDeliveries {
  private readonly byId = new Map<string, Held>();

  /** @param onEnded told once of each claim: it was settled, handed back or lost. */
  constructor(private readonly onEnded: (claim: ClaimedDelivery) => void = () => undefined) {}

  get size(): number {
    return this.byId.size;
  }

  count(state: Held['state']): number {
    let count = 0;
    for (const held of this.byId.values()) if (held.state === state) count++;
    return count;
  }

  /** Deliveries that take a slot: all but those whose request is over. */
  get busy(): number {
    return this.size - this.count('settling');
  }

  get holdsSuspect(): boolean {
    for (const { claim } of this.byId.values()) if (claim.isSuspect) return true;
    return false;
  }

  add(claim: ClaimedDelivery, leaseEndsAt: number): Held {
    const held: Held = {
      claim,
      state: 'opening',
      leaseEndsAt,
      attempts: claim.attempts,
      startedAt: '',
      endpoint: undefined,
    };
    const lost = this.byId.get(claim.id);
    this.byId.set(claim.id, held);
    if (lost !== undefined) this.onEnded(lost.claim);
    return held;
  }

  /** False when it is not, or no longer, held: its lease was lost, or it was claimed anew since. */
  has(held: Held): boolean {
    return this.byId.get(held.claim.id) === held;
  }

  remove(held: Held): boolean {
    if (!this.has(held)) return false;
    this.byId.delete(held.claim.id);
    this.onEnded(held.claim);
    return true;
  }

  all(): readonly Held[] {
    return [...this.byId.values()];
  }

  in(state: Held['state'], limit = Infinity): readonly Held[] {
    const found: Held[] = [];
    for (const held of this.byId.values()) {
      if (found.length >= limit) break;
      if (held.state === state) found.push(held);
    }
    return found;
  }

  /** Taken slots of each endpoint. */
  slots(): Map<string, number> {
    const slots = new Map<string, number>();
    for (const { claim, state } of this.byId.values())
      if (state !== 'settling') slots.set(claim.endpointId, (slots.get(claim.endpointId) ?? 0) + 1);
    return slots;
  }

  /** An endpoint has no slot left, by what its last claim said. */
  isAnyFull({ held, maxInFlight }: SlotsTaken): boolean {
    for (const taken of held.values()) if (taken >= ALL_SLOTS) return true;
    for (const { claim, state } of this.byId.values())
      if (state !== 'settling' && (held.get(claim.endpointId) ?? 0) >= (claim.maxInFlight ?? maxInFlight)) return true;
    return false;
  }
}
