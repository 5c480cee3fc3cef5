import type { OpenEndpoint } from '../endpoints/endpoint-directory.js';
import { webhookIdOf } from '../signing/signature.js';
import { ALL_SLOTS, type ClaimedDelivery, type SlotsTaken } from '../claiming/claim-store.js';

/**
 * One claim in this process.
 *
 * `opening`: its endpoint is looked up. `sending`: its request runs. `settling`: its outcome waits to be written. Ended by its settle, by a
 * release, or by the loss of its lease.
 */
export interface Held {
  readonly claim: ClaimedDelivery;
  /** Changed by `HeldDeliveries.move` alone, which counts. */
  readonly state: 'opening' | 'sending' | 'settling';
  /** Monotonic; counted from before the statement that leased, so it is never later than the database's. */
  leaseEndsAt: number;
  /** `webhook-id` of its request. */
  readonly webhookId: string;
  /** Requests started, this one included once it is. */
  attempts: number;
  endpoint: OpenEndpoint | undefined;
}

/** Every claim that this process holds, and the slots they take. */
export class HeldDeliveries {
  private readonly byId = new Map<string, Held>();
  private readonly counts = { opening: 0, sending: 0, settling: 0 };

  /** @param onEnded told once of each claim: it was settled, handed back or lost. */
  constructor(private readonly onEnded: (claim: ClaimedDelivery) => void = () => undefined) {}

  get size(): number {
    return this.byId.size;
  }

  count(state: Held['state']): number {
    return this.counts[state];
  }

  /** Also of what is not held any more, which is counted no more. */
  move(held: Held, state: Held['state']): void {
    if (this.has(held)) {
      this.counts[held.state]--;
      this.counts[state]++;
    }
    (held as { state: Held['state'] }).state = state;
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
      webhookId: webhookIdOf(claim.outboxId, claim.endpointId),
      attempts: claim.attempts,
      endpoint: undefined,
    };
    const lost = this.byId.get(claim.id);
    if (lost !== undefined) this.counts[lost.state]--;
    this.byId.set(claim.id, held);
    this.counts.opening++;
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
    this.counts[held.state]--;
    this.onEnded(held.claim);
    return true;
  }

  all(): readonly Held[] {
    return [...this.byId.values()];
  }

  in(state: Held['state']): readonly Held[] {
    return this.all().filter((held) => held.state === state);
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
