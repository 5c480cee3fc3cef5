import { type Clock, ShuttingDownError } from '@nest-baton/core';
import type { ClaimsUnderWay } from './claims-under-way.js';
import type { ConsumedStore, FoundDelivery, FoundEvent } from './consumed-store.js';
import { type DeliverySummary, summaryOf } from './delivery-summary.js';
import type { WantedClaims } from './wanted-claims.js';
import { isUuid } from '../deliveries/delivery-filter.js';

export interface DelivererOptions {
  readonly leaseMs: number;
  readonly handOffGraceMs: number;
}

export interface DelivererParts {
  readonly store: ConsumedStore;
  /** Undefined where the relay claims whatever is due. */
  readonly wanted: WantedClaims | undefined;
  readonly underWay: ClaimsUnderWay;
  /** Resolves after a look of the relay that began after the call; rejects as it does. */
  readonly look: () => Promise<void>;
}

/** Between looks for a slot, when no request of this process has ended meanwhile. */
const SLOT_WAIT_MS = 250;

/**
 * Sends what is due of an event when a queue's message says so, by way of the relay: fenced, counted, renewed and settled as everything else.
 *
 * - A message that comes twice sends nothing twice: what is leased or settled is not due.
 * - Waits at most a lease for slots of busy endpoints.
 */
export class EventDeliverer {
  private isStopped = false;
  private readonly calls = new Set<Promise<unknown>>();

  constructor(
    private readonly options: DelivererOptions,
    private readonly parts: DelivererParts,
    private readonly clock: Clock,
  ) {}

  async deliver(outboxId: string): Promise<DeliverySummary> {
    this.refuseWhenStopped();
    // Nothing that could ever be an event: the message must not come back for ever.
    if (!isUuid(outboxId)) return summaryOf(typeof outboxId === 'string' ? outboxId : '', undefined);
    const call = this.run(outboxId.toLowerCase());
    const tracked = call.catch(() => undefined).finally(() => this.calls.delete(tracked));
    this.calls.add(tracked);
    return call;
  }

  /** No call waits any longer; after the relay has ended, so that those whose claims ended have their answer. Returns when none runs. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.parts.underWay.wake();
    await Promise.all(this.calls);
  }

  private async run(outboxId: string): Promise<DeliverySummary> {
    const { store, wanted, underWay } = this.parts;
    const { leaseMs, handOffGraceMs } = this.options;
    const unwant = wanted?.want(outboxId);
    const waitsUntil = this.clock.monotonic() + leaseMs;
    const tried = new Set<string>();
    let held: ReadonlySet<string> = new Set();
    try {
      for (;;) {
        await this.parts.look();
        await this.idle(outboxId, tried);
        const found = await store.consumed(outboxId, handOffGraceMs);
        if (this.isStopped || this.clock.monotonic() >= waitsUntil) return summaryOf(outboxId, found);
        const before = held;
        held = claimsOf(found);
        // What this process has claimed meanwhile is seen here before it is known to be its own: only a claim that outlasts a look is elsewhere.
        if ([...held].some((claim) => !before.has(claim))) continue;
        const isWaiting = found?.deliveries.some((one) => isSendable(one) && !tried.has(one.id)) === true;
        if (!isWaiting) return summaryOf(outboxId, found);
        await underWay.change(SLOT_WAIT_MS);
      }
    } finally {
      unwant?.();
    }
  }

  /** Until nothing of the event is in the hands of this process, whoever claimed it. */
  private async idle(outboxId: string, tried: Set<string>): Promise<void> {
    for (;;) {
      const ids = this.parts.underWay.idsOf(outboxId);
      for (const id of ids) tried.add(id);
      if (ids.length === 0) return;
      this.refuseWhenStopped();
      await this.parts.underWay.change(this.options.leaseMs);
    }
  }

  private refuseWhenStopped(): void {
    if (this.isStopped)
      throw new ShuttingDownError(
        'The relay has stopped; another process delivers the event when its message returns.',
      );
  }
}

function isSendable({ state, isDue, isEligible }: FoundDelivery): boolean {
  return state === 'ready' && isDue && isEligible;
}

/** By delivery and fence. */
function claimsOf(found: FoundEvent | undefined): ReadonlySet<string> {
  const leased = found?.deliveries.filter(({ state }) => state === 'leased') ?? [];
  return new Set(leased.map(({ id, fence }) => `${id} ${fence}`));
}
