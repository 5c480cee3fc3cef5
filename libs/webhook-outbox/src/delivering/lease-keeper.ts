import type { Clock } from '@nest-baton/core';
import type { DeliveryStore } from './delivery-store.js';
import type { Held, HeldDeliveries } from './held-deliveries.js';

export interface LeaseKeeperHooks {
  /** The row is, or soon may be, somebody else's. */
  readonly onLost: (held: Held) => void;
  /** A renewal that failed; the next follows while the leases live. */
  readonly onError: (error: unknown) => void;
}

/**
 * Renews, in batches, the leases of whatever is held for long: requests that take their time, outcomes that wait to be written.
 *
 * - A plain timer and no registered one: it goes on while the process shuts down, until the drain ends.
 * - A lease that was refused, or that ended by our own clock because the database could not be asked, is lost: told once.
 */
export class LeaseKeeper {
  private timer: NodeJS.Timeout | undefined;
  private current: Promise<void> | undefined;
  private isStopped = false;

  constructor(
    private readonly store: DeliveryStore,
    private readonly held: HeldDeliveries,
    private readonly leaseMs: number,
    private readonly clock: Clock,
    private readonly hooks: LeaseKeeperHooks,
  ) {}

  start(): void {
    if (this.isStopped) return;
    this.timer ??= setInterval(() => this.tick(), this.leaseMs / 6);
  }

  /** Returns when no renewal runs; none ever will. */
  async stop(): Promise<void> {
    this.isStopped = true;
    clearInterval(this.timer);
    this.timer = undefined;
    await this.current;
  }

  private tick(): void {
    this.current ??= this.keep().finally(() => (this.current = undefined));
  }

  private async keep(): Promise<void> {
    const now = this.clock.monotonic();
    const due = this.held.all().filter(({ leaseEndsAt }) => leaseEndsAt - now < (2 * this.leaseMs) / 3);
    if (due.length === 0) return;
    try {
      const renewed = await this.store.renew(
        due.map(({ claim }) => claim),
        this.leaseMs,
      );
      for (const held of due) {
        if (renewed.has(held.claim.id)) held.leaseEndsAt = Math.max(held.leaseEndsAt, now + this.leaseMs);
        else if (this.held.has(held)) this.hooks.onLost(held);
      }
    } catch (error) {
      this.hooks.onError(error);
      const later = this.clock.monotonic();
      for (const held of due) if (this.held.has(held) && held.leaseEndsAt <= later) this.hooks.onLost(held);
    }
  }
}
