import type { Clock } from '@nest-baton/core';
import type { InstanceConnection } from '../connecting/instance-connection.js';
import type { Partition } from '../partitions/partition.js';
import { partitionOf } from '../partitions/partition-of.js';

/** Clocks of servers differ by less. */
const MARGIN_MS = 60_000;

/**
 * Dedupe ids that were used before the number of partitions was changed: they lie in the old partitions until their window is over.
 *
 * - Those are sealed, so that what is not there now never will be: looking before adding is enough.
 */
export class DedupesOfBefore {
  private until: number | undefined;

  constructor(
    private readonly connection: InstanceConnection,
    private readonly windowMs: number,
    private readonly clock: Clock,
  ) {}

  /** Makes an id that counts in an old partition count in this one, for as long. @throws RedisUnavailableError: nothing was added. */
  async carryOver(partition: Partition, dataStream: string, dedupeId: string): Promise<void> {
    const change = this.connection.layout?.change;
    if (change === undefined || (await this.isOver())) return;
    const old = this.connection.partitionsOf(change.from)[partitionOf(dataStream, change.from)];
    if (old === undefined) return;
    const key = old.keys.dedupe(dataStream, dedupeId);
    const [first, restMs] = await Promise.all([
      old.link.call((redis) => redis.get(key)),
      old.link.call((redis) => redis.pttl(key)),
    ]);
    if (first === null || restMs <= 0) return;
    const here = partition.keys.dedupe(dataStream, dedupeId);
    await partition.link.call((redis) => redis.set(here, first, 'PX', restMs, 'NX'));
  }

  /** Asked once: how long ago the number changed, by the server's clock. */
  private async isOver(): Promise<boolean> {
    const { connection, clock, windowMs } = this;
    if (this.until === undefined) {
      const [seconds, micros] = await connection.link.call((redis) => redis.time());
      const agoMs = Number(seconds) * 1000 + Number(micros) / 1000 - (connection.layout?.since ?? 0);
      this.until = clock.monotonic() + windowMs + MARGIN_MS - agoMs;
    }
    return clock.monotonic() >= this.until;
  }
}
