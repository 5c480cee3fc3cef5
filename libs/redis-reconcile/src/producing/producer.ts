import { errorCode, randomToken, secondsSince, systemClock } from '@nest-baton/core';
import type { HandoffSpans } from '../operating/handoff-spans.js';
import { partitionOf } from '../partitions/partition-of.js';
import type { Partition } from '../partitions/partition.js';
import type { RedisReconcileMetrics } from '../redis-reconcile.metrics.js';
import { HandoffInvalidError, HandoffUnconfirmedError } from '../redis-reconcile.errors.js';
import type { ConfirmedWrites } from './confirmed-writes.js';
import type { DedupesOfBefore } from '../repartitioning/dedupes-of-before.js';
import { checkDedupeId, encodeEntry } from './handoff-entry.js';
import type { ProduceOptions } from './produce-options.js';

/** 103 bits: two producers never choose the same. */
const HANDOFF_ID_LENGTH = 20;
const MAX_REPLICAS = 100;
const OUTCOMES: Readonly<Record<string, 'unknown' | 'unconfirmed' | undefined>> = {
  REDIS_UNAVAILABLE: 'unknown',
  HANDOFF_UNCONFIRMED: 'unconfirmed',
};

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
    private readonly spans: HandoffSpans,
    private readonly writes: ConfirmedWrites,
    private readonly dedupes: DedupesOfBefore,
  ) {}

  produce(dataStream: string, options: ProduceOptions): Promise<string> {
    return this.spans.producing((trace) => this.measured(dataStream, options, trace));
  }

  private async measured(dataStream: string, options: ProduceOptions, trace: string | undefined) {
    const handoffId = randomToken(HANDOFF_ID_LENGTH);
    const startedAt = systemClock.monotonic();
    try {
      const counted = await this.add(handoffId, dataStream, options, trace);
      const outcome = counted === handoffId ? 'added' : 'duplicate';
      this.metrics.add('handoffs.produced', 1, outcome);
      this.metrics.record('produce.duration', secondsSince(startedAt));
      return { handoffId: counted, outcome };
    } catch (error) {
      this.metrics.add('handoffs.produced', 1, OUTCOMES[errorCode(error) ?? ''] ?? 'refused');
      throw error;
    }
  }

  private async add(
    handoffId: string,
    dataStream: string,
    { info, dedupeId, waitReplicas = 0 }: ProduceOptions,
    trace: string | undefined,
  ): Promise<string> {
    if (!Number.isInteger(waitReplicas) || waitReplicas < 0 || waitReplicas > MAX_REPLICAS)
      throw new HandoffInvalidError(
        `waitReplicas must be a whole number from 0 to ${MAX_REPLICAS}, not ${String(waitReplicas)}.`,
      );
    const fields = encodeEntry(handoffId, dataStream, info, trace);
    if (dedupeId !== undefined) checkDedupeId(dedupeId);
    const partition = this.partitions[partitionOf(dataStream, this.partitions.length)] as Partition;
    if (dedupeId !== undefined) await this.dedupes.carryOver(partition, dataStream, dedupeId);
    const dedupe =
      dedupeId === undefined
        ? undefined
        : { key: partition.keys.dedupe(dataStream, dedupeId), windowMs: this.dedupeWindowMs };
    if (waitReplicas === 0) return partition.produce(handoffId, fields, dedupe);
    let replicas = 0;
    const counted = await partition.produce(handoffId, fields, dedupe, async (send) => {
      const written = await this.writes.write(partition, waitReplicas, send);
      replicas = written.replicas;
      return written.answer;
    });
    if (replicas < waitReplicas) throw new HandoffUnconfirmedError(counted, dataStream, replicas, waitReplicas);
    return counted;
  }
}
