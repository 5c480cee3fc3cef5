import { setTimeout as sleep } from 'node:timers/promises';
import { type Clock, type TypedEvents } from '@nest-baton/core';
import type { Partition } from '../partitions/partition.js';
import { DeadLetterNotFoundError, HandoffInvalidError } from '../redis-reconcile.errors.js';
import type { RedisReconcileEvents } from '../redis-reconcile.events.js';
import type { PurgeOptions, PurgeReport, RedriveAllOptions, RedriveReport } from './dead-letter.js';
import { checkFilter, walkDeadLetters } from './dead-letter-walk.js';

const DEFAULT_RATE = 100;
/** Letters that one script changes. */
const BATCH = 100;

/**
 * What can be done with what was given up: hand it off again, or forget it.
 *
 * - Each letter changes in one step of its own partition, so that of any number of callers one does it.
 * - Bounded: pages of 100, and no more at once than a tenth of a second allows.
 */
export class DeadLetterChanges {
  constructor(
    private readonly partitions: readonly Partition[],
    private readonly events: TypedEvents<RedisReconcileEvents>,
    private readonly clock: Clock,
  ) {}

  async redrive(handoffId: string): Promise<void> {
    for (const partition of this.partitions) {
      const id = await partition.link.call((redis) => redis.hget(partition.keys.deadIndex, handoffId));
      if (id === null) continue;
      const { redriven, unreadable } = await this.redriveThose(partition, [id]);
      if (redriven === 1) return;
      if (unreadable === 1)
        throw new HandoffInvalidError(
          `Dead letter '${handoffId}' cannot be handed off again, since nobody can read it: hand it off anew with produce, and purge this one.`,
        );
    }
    throw new DeadLetterNotFoundError(
      `There is no dead letter '${handoffId}': it was redriven or purged, or never given up.`,
    );
  }

  async redriveAll(options: RedriveAllOptions = {}): Promise<RedriveReport> {
    const check = checkFilter('redriveAll()', options, ['limit', 'ratePerSecond', 'signal']);
    const limit = check.integer('limit', Number.MAX_SAFE_INTEGER, { min: 1 });
    const rate = check.number('ratePerSecond', DEFAULT_RATE, { min: 0.1, max: 100_000 });
    check.finish();
    const { signal } = options;
    const batch = Math.max(1, Math.min(BATCH, Math.ceil(rate / 10)));
    const report = { redriven: 0, unreadable: 0 };
    const startedAt = this.clock.monotonic();
    for await (const { partition, ids } of walkDeadLetters(this.partitions, options, signal))
      for (let i = 0; i < ids.length;) {
        if (report.redriven >= limit || signal?.aborted === true) return report;
        const part = ids.slice(i, i + Math.min(batch, limit - report.redriven));
        i += part.length;
        const done = await this.redriveThose(partition, part);
        report.redriven += done.redriven;
        report.unreadable += done.unreadable;
        const dueAt = startedAt + (report.redriven / rate) * 1000;
        const waitMs = dueAt - this.clock.monotonic();
        if (waitMs > 1 && report.redriven < limit) await sleep(waitMs, undefined, { signal }).catch(() => undefined);
      }
    return report;
  }

  async purge(options: PurgeOptions = {}): Promise<PurgeReport> {
    const check = checkFilter('purge()', options, ['limit', 'includeUntold', 'signal']);
    const limit = check.integer('limit', Number.MAX_SAFE_INTEGER, { min: 1 });
    const includeUntold = check.boolean('includeUntold', false);
    check.finish();
    const report = { purged: 0, untold: 0 };
    for await (const { partition, ids } of walkDeadLetters(this.partitions, options, options.signal))
      for (let i = 0; i < ids.length;) {
        if (report.purged >= limit || options.signal?.aborted === true) return report;
        const part = ids.slice(i, i + Math.min(BATCH, limit - report.purged));
        i += part.length;
        for (const [outcome, handoffId = '', dataStream = ''] of await partition.purge(part, includeUntold)) {
          if (outcome === 'untold') report.untold++;
          if (outcome !== 'purged') continue;
          report.purged++;
          this.events.emit('purged', { handoffId, dataStream });
        }
      }
    return report;
  }

  private async redriveThose(partition: Partition, ids: readonly string[]): Promise<RedriveReport> {
    const report = { redriven: 0, unreadable: 0 };
    for (const [outcome, handoffId = '', dataStream = ''] of await partition.redrive(ids)) {
      if (outcome === 'unreadable') report.unreadable++;
      if (outcome !== 'redriven') continue;
      report.redriven++;
      this.events.emit('redriven', { handoffId, dataStream });
    }
    return report;
  }
}
