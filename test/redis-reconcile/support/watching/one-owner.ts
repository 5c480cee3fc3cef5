import type { Handoff } from '@nest-baton/redis-reconcile';
import { waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { type Instance, keysOf } from '../instance.js';

/** Watches that no data stream ever has two owners at work, and that fences only grow. */
export class OneOwner {
  readonly finished: string[] = [];
  /** What went wrong: nothing. */
  readonly problems: string[] = [];
  private readonly working = new Set<string>();
  private readonly fences = new Map<string, number>();

  /** Does the work of a hand-off, under the eyes of this. */
  async watch({ dataStream, handoffId, fence }: Handoff, work: () => Promise<unknown>): Promise<void> {
    if (this.working.has(dataStream)) this.problems.push(`${dataStream} has two owners`);
    if (fence <= (this.fences.get(dataStream) ?? 0)) this.problems.push(`${dataStream} has fence ${fence} again`);
    this.working.add(dataStream);
    this.fences.set(dataStream, fence);
    try {
      await work();
      this.finished.push(handoffId);
    } finally {
      this.working.delete(dataStream);
    }
  }
}

/** Calls until nothing is left. */
export async function repartitionWhole({ service }: Instance, partitions: number): Promise<void> {
  await waitFor(async () => (await service.repartition(partitions)).isDone, {
    description: 'nothing to be left under the old number',
    timeoutMs: 30_000,
  });
}

/** Keys under a number of partitions, without what stays behind a change on purpose. */
export async function keysLeft(redis: Redis, service: string, partitions: number): Promise<string[]> {
  const keys = Array.from({ length: partitions }, (_, p) => {
    const { stream, owned, dlq } = keysOf(service, p, partitions);
    return [stream, owned, dlq, `${dlq}:index`, owned.replace(/owned$/, 'waiting')];
  }).flat();
  const areThere = await Promise.all(keys.map((key) => redis.exists(key)));
  return keys.filter((_, i) => areThere[i] === 1);
}
