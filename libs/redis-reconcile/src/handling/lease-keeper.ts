import { type Clock, describeError } from '@nest-baton/core';
import type { Partition } from '../partitions/partition.js';
import type { RedisReconcileMetrics } from '../redis-reconcile.metrics.js';
import type { OwnedHandoff } from './owned-handoff.js';

/** Leases that one script renews: bounds its time. */
const MAX_CHUNK = 500;
/** Looks for due renewals in one renewal interval: spreads leases that were taken at once. */
const TICKS_PER_INTERVAL = 8;
/** By the number that the script answers. */
const RENEWED = ['lost', 'renewed', 'lapsed'] as const;

export interface LeaseKeeperOptions {
  readonly leaseMs: number;
  readonly commandTimeoutMs: number;
  readonly clock: Clock;
  readonly metrics: RedisReconcileMetrics;
  readonly onFailure: (error: unknown) => void;
  /** A lease lapsed, and its handler has not settled since. Called again until the hand-off is removed. */
  readonly onLapsed: (handoff: OwnedHandoff) => void;
}

/**
 * Keeps what this process owns alive.
 *
 * - Each lease is renewed a third of its length after the last renewal, up to 500 in a script; a failure is retried until the deadline and is
 *   not a loss by itself.
 * - A hand-off whose record is gone is lost; one that nothing was heard of until its deadline has lapsed. Both abort its signal.
 */
export class LeaseKeeper {
  private readonly held = new Set<OwnedHandoff>();
  private ticker: NodeJS.Timeout | undefined;
  private deadlines: NodeJS.Timeout | undefined;
  private deadlinesAt = Infinity;
  private readonly intervalMs: number;
  private readonly renewals = new Set<Promise<void>>();

  constructor(private readonly options: LeaseKeeperOptions) {
    this.intervalMs = options.leaseMs / 3;
  }

  get size(): number {
    return this.held.size;
  }

  all(): readonly OwnedHandoff[] {
    return [...this.held];
  }

  find(dataStream: string): OwnedHandoff | undefined {
    for (const handoff of this.held) if (handoff.dataStream === dataStream) return handoff;
    return undefined;
  }

  add(handoff: OwnedHandoff): void {
    handoff.nextRenewalAt = handoff.deadline - this.options.leaseMs + this.intervalMs;
    this.held.add(handoff);
    this.arm(handoff.deadline);
    this.ticker ??= setInterval(() => this.tick(), this.intervalMs / TICKS_PER_INTERVAL);
  }

  /** Neither renewed nor watched any more. */
  remove(handoff: OwnedHandoff): void {
    this.held.delete(handoff);
    if (this.held.size > 0) return;
    clearInterval(this.ticker);
    clearTimeout(this.deadlines);
    this.ticker = this.deadlines = undefined;
    this.deadlinesAt = Infinity;
  }

  /** Returns when no renewal is on its way. */
  async stop(): Promise<void> {
    for (const handoff of this.all()) this.remove(handoff);
    await Promise.all(this.renewals);
  }

  private tick(): void {
    const now = this.options.clock.monotonic();
    const due = new Map<Partition, OwnedHandoff[]>();
    for (const handoff of this.held) {
      if (handoff.isRenewing || handoff.state === 'settled' || handoff.state === 'lost') continue;
      handoff.checkDeadline();
      if (handoff.nextRenewalAt > now) continue;
      if (handoff.state === 'lapsed') {
        this.giveUp(handoff, now);
        continue;
      }
      const others = due.get(handoff.partition);
      if (others === undefined) due.set(handoff.partition, [handoff]);
      else others.push(handoff);
    }
    for (const [partition, handoffs] of due)
      for (let i = 0; i < handoffs.length; i += MAX_CHUNK) this.send(partition, handoffs.slice(i, i + MAX_CHUNK));
  }

  /** A lapsed lease is never renewed. Its handler has one interval to settle; then the work goes back, uncounted, while it still runs. */
  private giveUp(handoff: OwnedHandoff, now: number): void {
    handoff.nextRenewalAt = now + this.intervalMs;
    if (handoff.isGraceOver) this.options.onLapsed(handoff);
    handoff.isGraceOver = true;
  }

  private send(partition: Partition, handoffs: readonly OwnedHandoff[]): void {
    for (const handoff of handoffs) handoff.isRenewing = true;
    const renewal = this.renew(partition, handoffs)
      .catch((error: unknown) => {
        this.options.metrics.add('leases.renewed', handoffs.length, 'failed');
        this.options.onFailure(`renewal failed: ${describeError(error)}`);
      })
      .finally(() => {
        for (const handoff of handoffs) handoff.isRenewing = false;
        this.renewals.delete(renewal);
      });
    this.renewals.add(renewal);
  }

  private async renew(partition: Partition, handoffs: readonly OwnedHandoff[]): Promise<void> {
    const { clock, leaseMs, commandTimeoutMs, metrics } = this.options;
    const sentAt = clock.monotonic();
    const outcomes = await partition.renew(leaseMs, handoffs, Math.min(commandTimeoutMs, this.intervalMs));
    handoffs.forEach((handoff, i) => {
      handoff.nextRenewalAt = sentAt + this.intervalMs;
      if (outcomes[i] === 1) handoff.extend(sentAt + leaseMs);
      else if (outcomes[i] === 0) this.gone(handoff);
      else handoff.lapse();
    });
    RENEWED.forEach((outcome, answer) => {
      const count = outcomes.filter((one) => one === answer).length;
      if (count > 0) metrics.add('leases.renewed', count, outcome);
    });
  }

  /** Unless our own last word, which was on its way, has removed it: then that is no loss. */
  private gone(handoff: OwnedHandoff): void {
    const lose = () => handoff.lose('another owner has the data stream, or its record is gone');
    if (handoff.saying === undefined) lose();
    else handoff.saying.then(lose, lose);
  }

  /** One timer for the earliest deadline; renewals only move deadlines back, so it may find nothing and sleep again. */
  private arm(deadline: number): void {
    if (deadline >= this.deadlinesAt) return;
    clearTimeout(this.deadlines);
    this.deadlinesAt = deadline;
    const wait = Math.max(0, deadline - this.options.clock.monotonic());
    this.deadlines = setTimeout(() => this.checkDeadlines(), Math.ceil(wait) + 1);
  }

  private checkDeadlines(): void {
    this.deadlinesAt = Infinity;
    let earliest = Infinity;
    for (const handoff of this.held) {
      handoff.checkDeadline();
      if (handoff.state === 'held') earliest = Math.min(earliest, handoff.deadline);
    }
    if (earliest < Infinity) this.arm(earliest);
  }
}
