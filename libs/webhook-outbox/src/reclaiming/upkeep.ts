import type { Clock } from '@nest-baton/core';
import { BATCH, type PutAside, type ReclaimedDelivery, type ReclaimStore } from './reclaim-store.js';

export interface UpkeepHooks {
  readonly onReclaimedDead: (delivery: ReclaimedDelivery) => void;
  readonly onPutAside: (counts: PutAside) => void;
  readonly onFanOutDue: () => void;
  /** Resolves when lines were looked at in which deliveries wait for their turn. */
  readonly onLookedForQueued: (isAny: boolean) => Promise<void>;
}

/** Also the longest that a database is not asked whether anything is to be done, since this doubles as the idle look. */
const RECLAIM_INTERVAL_MS = 1_000;

/** For late commits to endpoints that are off, and for leases that a look has passed over because somebody had locked their rows. */
const FULL_INTERVAL_MS = 10_000;

/** What a relay does beside claiming: takes back expired leases, puts deliveries of endpoints aside that are off, and remembers what waits. */
export class Upkeep {
  isSuspectWaiting = false;
  isProbeDue = false;
  /** By the look of the last `run`; also where it did not look. */
  mayBeDue = true;
  private isAsideDue = false;
  private reclaimedAt = -Infinity;
  private fullAt = -Infinity;
  private looksAsideUntil = -Infinity;

  constructor(
    private readonly store: ReclaimStore,
    private readonly maxAttempts: number,
    private readonly clock: Clock,
    private readonly hooks: UpkeepHooks,
    /** As of `Claims.dueBounds`. */
    private readonly dueBounds: () => ReadonlyMap<string, number> | undefined,
  ) {}

  /** An endpoint was disabled: its deliveries are put aside with the next pass and, for so long, those that somebody still holds after it. */
  lookAside(forMs: number): void {
    this.isAsideDue = true;
    this.looksAsideUntil = this.clock.monotonic() + forMs;
  }

  /** True when there is more to put aside. Looks for expired leases at most once a second, telling `onLooked`. */
  async run(onLooked: () => void): Promise<boolean> {
    this.mayBeDue = true;
    if (this.clock.monotonic() - this.reclaimedAt >= RECLAIM_INTERVAL_MS) {
      await this.reclaim();
      onLooked();
    }
    if (!this.isAsideDue) return false;
    const counts = await this.store.putAside();
    this.isAsideDue = counts.parked + counts.abandoned >= BATCH;
    if (counts.parked + counts.abandoned > 0) this.hooks.onPutAside(counts);
    return this.isAsideDue;
  }

  private async reclaim(): Promise<void> {
    this.reclaimedAt = this.clock.monotonic();
    const isFull = this.reclaimedAt < this.looksAsideUntil || this.reclaimedAt - this.fullAt >= FULL_INTERVAL_MS;
    if (isFull) this.fullAt = this.reclaimedAt;
    const { deliveries, isAnyDue, isSuspectWaiting, isProbeDue, isFanOutDue, isAsideDue, isAnyQueued } =
      await this.store.reclaim(this.maxAttempts, isFull, this.dueBounds());
    // What was taken back is due by now, which its own statement cannot see.
    this.mayBeDue = isAnyDue || deliveries.length > 0;
    if (isFanOutDue) this.hooks.onFanOutDue();
    this.isSuspectWaiting = isSuspectWaiting || deliveries.length > 0;
    this.isProbeDue = isProbeDue;
    this.isAsideDue ||= isAsideDue;
    for (const delivery of deliveries) if (delivery.state === 'dead') this.hooks.onReclaimedDead(delivery);
    await this.hooks.onLookedForQueued(isAnyQueued);
  }
}
