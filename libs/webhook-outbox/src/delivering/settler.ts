import { type Clock, sqlState } from '@nest-baton/core';
import type { DeliveryStore, EndedAttempt } from './delivery-store.js';
import type { Held, HeldDeliveries } from './held-deliveries.js';
import { GATHER_MS } from '../waking/refilling.js';
import type { Settlement } from '../outcomes/outcome.js';
import { sanitisedText } from '../outcomes/sanitised-text.js';

export interface SettlerHooks {
  readonly onSettled: (held: Held, settlement: Settlement) => void;
  /** Its lease had ended, so it is in the history and moved nothing. */
  readonly onLate: (held: Held, settlement: Settlement) => void;
  readonly onLost: (held: Held) => void;
  readonly onError: (error: unknown, waiting: number) => void;
  /** The database refuses this outcome whatever is left out of it; its lease expires. */
  readonly onUnwritable: (held: Held, error: unknown) => void;
}

const BATCH = 500;

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;

interface Waiting {
  readonly held: Held;
  readonly settlement: Settlement;
  readonly durationMs: number;
}

/**
 * Writes outcomes in batches, one statement at a time; what arrives meanwhile leaves together in the next.
 *
 * - A write that fails is repeated for as long as the lease lives (it is renewed meanwhile): a request is never repeated only because its
 *   outcome could not be written.
 * - An outcome without its lease is written too, as late: the loss is told, never silent.
 * - One outcome that the database refuses for what is in it keeps no other from being written.
 */
export class Settler {
  private waiting: Waiting[] = [];
  private current: Promise<void> | undefined;
  private isStopped = false;
  private failedAt = Infinity;
  private wake: (() => void) | undefined;
  private gathered: (() => void) | undefined;

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

  get size(): number {
    return this.waiting.length;
  }

  add(held: Held, settlement: Settlement, durationMs: number): void {
    this.held.move(held, 'settling');
    const error = settlement.error === null ? null : sanitisedText(settlement.error);
    this.waiting.push({ held, settlement: { ...settlement, error }, durationMs: Math.round(durationMs) });
    if (this.isEnough()) this.gathered?.();
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
    this.gathered?.();
    await this.current;
  }

  private async run(): Promise<void> {
    let pauseMs = FIRST_PAUSE_MS;
    while (this.waiting.length > 0 && !this.isStopped) {
      await this.gather();
      this.tellLost();
      try {
        await this.write(this.nextBatch());
        pauseMs = FIRST_PAUSE_MS;
        this.failedAt = Infinity;
      } catch (error) {
        this.failedAt = Math.min(this.failedAt, this.clock.monotonic());
        this.hooks.onError(error, this.waiting.length);
        await this.pause(pauseMs);
        pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
      }
    }
    this.current = undefined;
  }

  /**
   * Until as many outcomes wait as requests still run, so at once when nothing else runs, and a few milliseconds at most: a statement of three
   * outcomes costs the database hardly less than one of thirty.
   */
  private async gather(): Promise<void> {
    // A turn of the loop, so that outcomes of the same turn share a statement.
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (this.isEnough()) return;
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, GATHER_MS);
      this.gathered = resolve;
    });
    clearTimeout(timer);
    this.gathered = undefined;
  }

  private isEnough(): boolean {
    return this.isStopped || this.waiting.length >= Math.min(this.held.count('sending'), BATCH);
  }

  /** A late outcome and that of the next claim may be of the same delivery: never in one statement. */
  private nextBatch(): readonly Waiting[] {
    const batch = new Map<string, Waiting>();
    for (const item of this.waiting) {
      if (batch.size >= BATCH) break;
      if (!batch.has(item.held.claim.id)) batch.set(item.held.claim.id, item);
    }
    return [...batch.values()];
  }

  /** Halves a batch that the database refuses for what is in it, until the one is found that it means. */
  private async write(batch: readonly Waiting[]): Promise<void> {
    let moved: ReadonlySet<string>;
    try {
      moved = await this.store.settle(batch.map(endedAttempt));
    } catch (error) {
      if (!isRefusedContent(error)) throw error;
      if (batch.length > 1) {
        const half = batch.length >> 1;
        await this.write(batch.slice(0, half));
        return this.write(batch.slice(half));
      }
      return this.writePlain(batch, error);
    }
    const done = new Set(batch);
    this.waiting = this.waiting.filter((item) => !done.has(item));
    for (const item of batch) this.conclude(item, moved.has(item.held.claim.id));
  }

  /** The receiver's words are all that anybody else has put into an outcome. */
  private async writePlain([item]: readonly Waiting[], error: unknown): Promise<void> {
    if (item === undefined) return;
    const plain = { ...item, settlement: { ...item.settlement, error: null } };
    this.waiting = this.waiting.map((one) => (one === item ? plain : one));
    if (item.settlement.error !== null) return this.write([plain]);
    this.waiting = this.waiting.filter((one) => one !== plain);
    this.hooks.onUnwritable(item.held, error);
    this.hooks.onLost(item.held);
  }

  private conclude({ held, settlement }: Waiting, isMoved: boolean): void {
    if (isMoved) {
      this.held.remove(held);
      return this.hooks.onSettled(held, settlement);
    }
    this.hooks.onLost(held);
    this.hooks.onLate(held, settlement);
  }

  /** The lease keeper may have told of the loss already; a lease that ended by our clock is told here. */
  private tellLost(): void {
    const now = this.clock.monotonic();
    for (const { held } of this.waiting) if (held.leaseEndsAt <= now) this.hooks.onLost(held);
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

/** Data that does not fit, or a constraint: the same statement will be refused for ever. */
function isRefusedContent(error: unknown): boolean {
  const state = sqlState(error) ?? '';
  return state.startsWith('22') || state.startsWith('23');
}

function endedAttempt({ held, settlement, durationMs }: Waiting): EndedAttempt {
  const { claim, attempts } = held;
  return { id: claim.id, fence: claim.fence, attempt: attempts, startedAt: claim.startedAt, durationMs, settlement };
}
