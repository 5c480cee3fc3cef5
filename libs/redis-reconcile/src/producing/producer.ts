import { errorCode, randomToken, secondsSince, systemClock } from '@nest-baton/core';
import { partitionOf } from '../partitions/partition-of.js';
import type { Partition } from '../partitions/partition.js';
import type { RedisReconcileMetrics } from '../redis-reconcile.metrics.js';
import { checkDedupeId, encodeEntry } from './handoff-entry.js';
import type { ProduceOptions } from './produce-options.js';

/** 103 bits: two producers never choose the same. */
const HANDOFF_ID_LENGTH = 20;

/**
 * Adds hand-offs.
 *
 * - Resolves only when the server has the entry. After REDIS_UNAVAILABLE it may have it all the same: with a `dedupeId` the same call can
 *   be made again without adding it twice.
 */
export class Producer {
  constructor(
    private readonly partitions: readonly Partition[],
    private readonly dedupeWindowMs: number,
    private readonly metrics: RedisReconcileMetrics,
  ) {}

  async produce(dataStream: string, options: ProduceOptions): Promise<string> {
    const handoffId = randomToken(HANDOFF_ID_LENGTH);
    const startedAt = systemClock.monotonic();
    try {
      const counted = await this.add(handoffId, dataStream, options);
      this.metrics.add('handoffs.produced', 1, counted === handoffId ? 'added' : 'duplicate');
      this.metrics.record('produce.duration', secondsSince(startedAt));
      return counted;
    } catch (error) {
      this.metrics.add('handoffs.produced', 1, errorCode(error) === 'REDIS_UNAVAILABLE' ? 'unknown' : 'refused');
      throw error;
    }
  }

  private async add(handoffId: string, dataStream: string, { info, dedupeId }: ProduceOptions): Promise<string> {
    const fields = encodeEntry(handoffId, dataStream, info);
    if (dedupeId !== undefined) checkDedupeId(dedupeId);
    const partition = this.partitions[partitionOf(dataStream, this.partitions.length)] as Partition;
    const dedupe =
      dedupeId === undefined
        ? undefined
        : { key: partition.keys.dedupe(dataStream, dedupeId), windowMs: this.dedupeWindowMs };
    return partition.produce(handoffId, fields, dedupe);
  }
}
