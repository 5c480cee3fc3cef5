import { systemClock, TypedEvents } from '@nest-baton/core';
import type { RedisReconcileEvents } from '@nest-baton/redis-reconcile';
import { Reconciler } from '../../libs/redis-reconcile/src/recovery/reconciler.js';
import { freshService, keysOf, ownAsGhost } from './support/instance.js';
import { useByHand } from './support/partition-by-hand.js';

const LEASE_MS = 60_000;

describe('the first command that works after a gap', () => {
  const { redis, hand } = useByHand();

  /** Of an owner whose lease lapsed while nobody could reach the server. */
  async function orphan() {
    const service = freshService();
    const partition = hand.partition(service);
    await partition.createOwnersGroup();
    await redis.xadd(keysOf(service).stream, '*', 'stream', 'x', 'id', 'x', 'count', '0');
    await ownAsGhost(redis, service, 1);
    let nowMs = 0;
    const reconciler = new Reconciler({
      ...{ partitions: [partition], leaseMs: LEASE_MS, blockMs: 1_000, batchSize: 10, maxRetries: 3, dlqMaxLen: 10 },
      clock: { ...systemClock, monotonic: () => nowMs },
      events: new TypedEvents<RedisReconcileEvents>(() => undefined),
      onBuried: () => undefined,
    });
    partition.link.onGap(() => reconciler.noticeGap(partition));
    await expect(partition.link.call(() => Promise.reject(new Error('cut')))).rejects.toMatchObject({
      code: 'REDIS_UNAVAILABLE',
    });
    return { partition, reconciler, pass: (ms: number) => ((nowMs = ms), reconciler.pass(0)) };
  }

  it('may be that of a scan, which leaves the orphan to its owner for one lease all the same', async () => {
    const { pass } = await orphan();
    expect(await pass(0)).toMatchObject({ requeued: 0 });
    expect(await pass(LEASE_MS - 1)).toMatchObject({ requeued: 0 });
    expect(await pass(LEASE_MS)).toMatchObject({ requeued: 1 });
  });

  it('may be one after an expiry event, with the same end', async () => {
    const { partition, reconciler, pass } = await orphan();
    await reconciler.lapsed(partition, ['x']);
    expect(await pass(LEASE_MS)).toMatchObject({ requeued: 1 });
  });
});
