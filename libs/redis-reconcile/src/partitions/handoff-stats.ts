import type { Partition } from './partition.js';

/** One look at the instance, over all partitions. */
export interface HandoffStats {
  /** Entries not read by anybody yet. */
  readonly queued: number;
  /** Entries that somebody read and did not finish. */
  readonly pending: number;
  /** Hand-offs that wait for another one of the same data stream. */
  readonly waiting: number;
  /** Hand-offs in their back-off after a nack; also counted in `pending`. */
  readonly held: number;
  readonly dead: number;
  /** Owned by this process. */
  readonly owned: number;
  /** Age of the oldest entry in the stream, in milliseconds; 0 when there is none. */
  readonly lagMs: number;
}

/** Each partition is seen at one moment, and all of them at about the same. @throws RedisUnavailableError */
export async function statsOf(partitions: readonly Partition[], owned: number): Promise<HandoffStats> {
  const sum = { queued: 0, pending: 0, waiting: 0, held: 0, dead: 0, lagMs: 0 };
  for (const one of await Promise.all(partitions.map((partition) => partition.stats()))) {
    for (const key of ['queued', 'pending', 'waiting', 'held', 'dead'] as const) sum[key] += one[key];
    sum.lagMs = Math.max(sum.lagMs, one.lagMs);
  }
  return { ...sum, owned };
}
