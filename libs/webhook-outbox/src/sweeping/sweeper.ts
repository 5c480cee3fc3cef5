import { backoffDelay, type Clock, PollLoop, type Random, type Runnable, type TimeoutRegistry } from '@nest-baton/core';
import { ADOPT_FROM_START, type AdoptCursor, type ConsumedStore } from '../consuming/consumed-store.js';
import type { ClaimedEvent, HandOffStore } from './hand-off-store.js';
import type { HandOver } from '../queueing/hand-over.js';

export interface SweeperOptions {
  readonly pollIntervalMs: number;
  readonly handOffGraceMs: number;
}

export interface SweeperParts {
  readonly store: HandOffStore;
  readonly consumed: ConsumedStore;
  readonly handOver: HandOver;
}

export interface SweeperHooks {
  readonly onSwept: (count: number) => void;
  readonly onPollFailed: (error: unknown) => void;
}

/** Events handed over at one time. */
const BATCH = 100;

const ADOPT_INTERVAL_MS = 10 * 60_000;

/** After a queue refused an event; its deliveries' own schedule has nothing to do with it. */
const BACKOFF = { baseMs: 1_000, factor: 2, capMs: 60_000, jitter: 'equal' } as const;

/**
 * Hands over again what a queue has lost: events whose deliveries are due and that nobody has consumed for `handOffGrace`.
 *
 * - Several sweepers share the work: an event is handed over once in a sweep lease.
 * - It sends no webhook, and no attempt is counted.
 * - At the start, every ten minutes and when it is told, it also looks for events that no hand-off is kept of.
 */
export class Sweeper implements Runnable {
  private readonly loop: PollLoop;
  private adoptedAt = -Infinity;
  private lookedAt: number;

  constructor(
    name: string,
    private readonly options: SweeperOptions,
    private readonly parts: SweeperParts,
    private readonly hooks: SweeperHooks,
    registry: TimeoutRegistry | undefined,
    private readonly clock: Clock,
    private readonly random: Random,
  ) {
    this.lookedAt = clock.monotonic();
    this.loop = new PollLoop({
      name: `baton:webhook-outbox:${name}:sweep`,
      pass: (signal) => this.pass(signal),
      intervalMs: options.pollIntervalMs,
      registry,
      onError: hooks.onPollFailed,
    });
  }

  /** Since the last look that succeeded. */
  get sinceLookMs(): number {
    return this.clock.monotonic() - this.lookedAt;
  }

  start(): void {
    this.lookedAt = this.clock.monotonic();
    this.loop.start();
  }

  notify(): void {
    this.loop.notify();
  }

  /** Deliveries became due that no hand-off may be kept of. */
  lookForAll(): void {
    this.adoptedAt = -Infinity;
    this.loop.notify();
  }

  async runOnce(): Promise<void> {
    await this.loop.runOnce();
  }

  async stop(): Promise<void> {
    await this.loop.stop();
  }

  private async pass(signal: AbortSignal): Promise<void> {
    const { handOffGraceMs } = this.options;
    if (this.clock.monotonic() - this.adoptedAt >= ADOPT_INTERVAL_MS) await this.adopt(signal);
    while (!signal.aborted) {
      const { looked, events } = await this.parts.store.sweep(BATCH, handOffGraceMs, handOffGraceMs);
      this.lookedAt = this.clock.monotonic();
      if (events.length > 0) this.hooks.onSwept(events.length);
      const failed = await Promise.all(events.map((event) => this.handOver(event, signal)));
      // A queue that refuses everything is not asked for the whole backlog at once.
      if (looked < BATCH || (failed.length > 0 && failed.every(Boolean))) return;
    }
  }

  /** True when the queue did not take it: the sweep finds it sooner than after its lease. */
  private async handOver(event: ClaimedEvent, signal: AbortSignal): Promise<boolean> {
    const { outboxId, id, type, tenant, sweeps } = event;
    if ((await this.parts.handOver.tell({ outboxId, id, type, tenant }, signal)) === undefined) return false;
    await this.parts.store.reschedule(event, backoffDelay(sweeps, BACKOFF, this.random));
    return true;
  }

  private async adopt(signal: AbortSignal): Promise<void> {
    const startedAt = this.clock.monotonic();
    let cursor: AdoptCursor | undefined = ADOPT_FROM_START;
    while (cursor !== undefined && !signal.aborted)
      cursor = await this.parts.consumed.adopt(cursor, this.options.handOffGraceMs);
    this.adoptedAt = startedAt;
  }
}
