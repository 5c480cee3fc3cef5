import { type Clock, OptionsCheck, type TypedEvents } from '@nest-baton/core';
import type { Logger } from '@nestjs/common';
import type { InstanceConnection } from '../connecting/instance-connection.js';
import { byPartition } from '../partitions/by-partition.js';
import { MAX_PARTITIONS, partitionOf } from '../partitions/partition-of.js';
import { Reconciler } from '../recovery/reconciler.js';
import { RepartitionInProgressError } from '../redis-reconcile.errors.js';
import type { RedisReconcileEvents } from '../redis-reconcile.events.js';
import type { RedisReconcileMetrics } from '../redis-reconcile.metrics.js';
import type { ResolvedRedisReconcileOptions } from '../redis-reconcile.options.js';
import { DrainRound } from './drain-round.js';
import { NewPartition } from './new-partition.js';
import { OldPartition } from './old-partition.js';
import type { RepartitionReport } from './repartition-report.js';
import { beginChange, type LayoutChange, turnChange } from './stored-layout.js';

/** Rounds that one call makes at most: each moves what the one before made free. */
const MAX_ROUNDS = 20;

export interface RepartitionerOptions {
  readonly connection: InstanceConnection;
  readonly options: ResolvedRedisReconcileOptions;
  readonly clock: Clock;
  readonly events: TypedEvents<RedisReconcileEvents>;
  readonly metrics: RedisReconcileMetrics;
  readonly logger: Logger;
  readonly onBuried: () => void;
}

/**
 * Changes the number of partitions while there is work.
 *
 * 1. The new partitions are closed, the old ones sealed: from now on none of them takes hand-offs, and nothing becomes owned anywhere.
 * 2. What is owned in the old ones is guarded in the new ones: hand-offs of the same data streams will wait there.
 * 3. The new ones open, and the new number is stored: processes that are set to it start.
 * 4. The old ones drain, in rounds: what nobody owns is added to the new ones and then removed; owners go on until they are through.
 *
 * - Whoever dies between any two commands leaves what the next caller goes on with: each step is a script that a repeat finds done, and that knows
 *   by its epoch when it is of the past.
 * - Any number of processes may do it at once; those with a handler and the new number go on by themselves, with each scan.
 * - Across a failover that loses a seal, work of the old partitions may have a second owner, as across any failover; it is not lost.
 */
export class Repartitioner {
  private readonly reconcilers = new Map<number, Reconciler>();

  constructor(private readonly context: RepartitionerOptions) {}

  /** The old partitions hold something, as far as this process knows. */
  get isDraining(): boolean {
    return this.context.connection.layout?.state === 'draining';
  }

  /**
   * Begins, or goes on, and returns how far it came.
   *
   * @throws OptionsInvalidError; RepartitionInProgressError; RedisUnavailableError: what was done stays done, call again.
   */
  async repartition(to: number): Promise<RepartitionReport> {
    const check = new OptionsCheck<{ partitions: number }>('repartition()', { partitions: to }, ['partitions']);
    check.integer('partitions', NaN, { min: 1, max: MAX_PARTITIONS });
    check.finish();
    const { connection, options, logger } = this.context;
    const { link } = connection;
    const { state, change, isOther } = await beginChange(link, options.service, to);
    if (isOther)
      throw new RepartitionInProgressError(
        `Service '${options.service}' is on its way from ${change.from} to ${change.to} partitions: bring that to its end with repartition(${change.to}) before you change to ${to}.`,
      );
    if (state === 'never') return { ...NOTHING, from: change.to, to: change.to, isDone: true };
    if (state === 'preparing') {
      logger.log('the number of partitions changes', { from: change.from, to: change.to });
      await this.prepare(change);
      await turnChange(link, options.service, change, 'draining');
    }
    return this.drain(change);
  }

  /** What a scan does for it: one round, if there is something to drain. */
  async goOn(): Promise<void> {
    const { layout } = this.context.connection;
    if (layout?.state === 'draining' && layout.change !== undefined) await this.round(layout.change);
  }

  private async prepare(change: LayoutChange): Promise<void> {
    const { olds, news } = this.sides(change);
    await Promise.all(news.map((one) => one.close()));
    await Promise.all(olds.map((one) => one.seal()));
    for (const old of olds)
      for await (const names of old.ownedNames())
        for (const [index, some] of byPartition(names, (name) => partitionOf(name, change.to)))
          await news[index]?.guard(some, old.partition.index);
    const fences = await Promise.all(olds.map((old) => old.fence()));
    const highest = fences.reduce((a, b) => (Number(b) > Number(a) ? b : a), '0');
    // Not before every guard is set: a stale process of the new number may be there already, from when that counted the last time.
    await Promise.all(news.map((one) => one.open(highest)));
  }

  private async drain(change: LayoutChange): Promise<RepartitionReport> {
    let report: RepartitionReport = { ...NOTHING, from: change.from, to: change.to, isDone: false };
    for (let n = 0; n < MAX_ROUNDS; n++) {
      const round = await this.round(change);
      const moved = report.moved + round.moved;
      const movedDeadLetters = report.movedDeadLetters + round.movedDeadLetters;
      report = { ...round, moved, movedDeadLetters };
      if (round.isDone || round.moved + round.movedDeadLetters === 0) break;
    }
    return report;
  }

  private async round(change: LayoutChange): Promise<RepartitionReport> {
    const { connection, options, events, logger, metrics } = this.context;
    const { olds, news } = this.sides(change);
    const failures: unknown[] = [];
    // Twice a lease: owners who could not renew, unseen by us, have handed back by then.
    await this.reconcilerOf(change.from)
      .pass(2 * options.leaseMs)
      .catch((error: unknown) => failures.push(error));
    const round = new DrainRound(change, olds, news, { goneMs: options.leaseMs, metrics, logger });
    const report = { from: change.from, to: change.to, ...(await round.run(failures)) };
    if (failures.length > 0) throw failures[0];
    const isTurned = report.isDone && (await turnChange(connection.link, options.service, change, 'settled'));
    if (isTurned) {
      logger.log('the number of partitions has changed', { from: change.from, to: change.to });
      events.emit('repartitioned', report);
    }
    return report;
  }

  private sides(change: LayoutChange) {
    const { connection } = this.context;
    return {
      olds: connection.partitionsOf(change.from).map((partition) => new OldPartition(partition, change)),
      news: connection.partitionsOf(change.to).map((partition) => new NewPartition(partition, change)),
    };
  }

  private reconcilerOf(count: number): Reconciler {
    const known = this.reconcilers.get(count);
    if (known !== undefined) return known;
    const { connection, options } = this.context;
    const partitions = connection.partitionsOf(count);
    const reconciler = new Reconciler({ ...this.context, ...options, ...options.recovery, partitions });
    for (const partition of partitions) partition.link.onGap(() => reconciler.noticeGap(partition));
    this.reconcilers.set(count, reconciler);
    return reconciler;
  }
}

const NOTHING = { moved: 0, movedDeadLetters: 0, stillOwned: 0, left: 0 } as const;
