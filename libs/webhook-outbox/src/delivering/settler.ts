import type { Clock } from '@nest-baton/core';
import type { DeliveryStore, SettledClaim } from './delivery-store.js';
import type { Held, HeldDeliveries } from './held-deliveries.js';
import type { Settlement } from '../outcomes/outcome.js';
import { sanitisedText } from '../outcomes/sanitised-text.js';

export interface SettlerHooks {
  readonly onSettled: (held: Held, settlement: Settlement) => void;
  readonly onLost: (held: Held) => void;
  readonly onError: (error: unknown, waiting: number) => void;
}

const BATCH = 500;

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;

interface Waiting {
  readonly held: Held;
  readonly settlement: Settlement;
}

/**
 * Writes outcomes in batches, one statement at a time; what arrives meanwhile leaves together in the next.
 *
 * - A write that fails is repeated for as long as the lease lives (it is renewed meanwhile): a request is never repeated only because its
 *   outcome could not be written.
 * - A refused write means that the lease was lost: told, never silent.
 */
export class Settler {
  private waiting: Waiting[] = [];
  private current: Promise<void> | undefined;
  private isStopped = false;
  private failedAt = Infinity;
  private wake: (() => void) | undefined;

  constructor(
    private readonly store: DeliveryStore,
    private readonly held: HeldDeliveries,
    private readonly clock: Clock,
    private readonly hooks: SettlerHooks,
  ) {}

  /** When the first of the writes failed that have failed since one succeeded; Infinity when nothing waits to be written again. */
  get failingSince(): number {
    return this.waiting.length > 0 ? this.failedAt : Infinity;
  }

  add(held: Held, settlement: Settlement): void {
    held.state = 'settling';
    const error = settlement.error === null ? null : sanitisedText(settlement.error);
    this.waiting.push({ held, settlement: { ...settlement, error } });
    this.current ??= this.run();
  }

  /** Resolves when nothing waits, or at once after `abandon()`. */
  async idle(): Promise<void> {
    await this.current;
  }

  /** Gives up on what waits: its leases expire, and it is sent again with the same id. Returns when no write runs. */
  async abandon(): Promise<void> {
    this.isStopped = true;
    this.wake?.();
    await this.current;
  }

  private async run(): Promise<void> {
    let pauseMs = FIRST_PAUSE_MS;
    // A turn of the loop, so that outcomes of the same turn share a statement.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.waiting.length > 0 && !this.isStopped) {
      this.dropLost();
      const batch = this.waiting.slice(0, BATCH);
      if (batch.length === 0) break;
      try {
        const written = await this.store.settle(batch.map(claimOf));
        this.waiting = this.waiting.slice(batch.length);
        pauseMs = FIRST_PAUSE_MS;
        this.failedAt = Infinity;
        for (const item of batch) this.conclude(item, written.has(item.held.claim.id));
      } catch (error) {
        this.failedAt = Math.min(this.failedAt, this.clock.monotonic());
        this.hooks.onError(error, this.waiting.length);
        await this.pause(pauseMs);
        pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
      }
    }
    this.current = undefined;
  }

  private conclude({ held, settlement }: Waiting, isWritten: boolean): void {
    if (isWritten) {
      this.held.remove(held);
      this.hooks.onSettled(held, settlement);
    } else if (this.held.has(held)) this.hooks.onLost(held);
  }

  /** The lease keeper may have told of the loss already; a lease that ended by our clock is told here. */
  private dropLost(): void {
    const now = this.clock.monotonic();
    const lost = this.waiting.filter(({ held }) => !this.held.has(held) || held.leaseEndsAt <= now);
    if (lost.length === 0) return;
    this.waiting = this.waiting.filter((item) => !lost.includes(item));
    for (const { held } of lost) if (this.held.has(held)) this.hooks.onLost(held);
  }

  private async pause(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = undefined;
  }
}

function claimOf({ held, settlement }: Waiting): SettledClaim {
  return { id: held.claim.id, fence: held.claim.fence, settlement };
}
