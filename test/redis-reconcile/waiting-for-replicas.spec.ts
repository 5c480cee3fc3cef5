import { type ExclusiveRedis, StallMeter, startRedis, waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { freshService, openRedis, startInstances } from './support/instance.js';

describe('waiting for replicas', () => {
  const start = startInstances();
  let master: ExclusiveRedis;
  let replica: ExclusiveRedis;
  let redis: Redis;
  let copy: Redis;

  beforeAll(async () => {
    [master, replica] = await Promise.all([startRedis({ exclusive: true }), startRedis({ exclusive: true })]);
    redis = openRedis(master.url);
    copy = openRedis(replica.url);
    const { hostname, port } = new URL(master.url);
    await copy.replicaof(hostname, port);
    await waitFor(async () => (await redis.info('replication')).includes('state=online'), {
      description: 'the replica follows',
      timeoutMs: 60_000,
    });
  }, 90_000);
  afterAll(async () => {
    redis.disconnect();
    copy.disconnect();
    await Promise.all([master.stop(), replica.stop()]);
  });

  const producer = (service = freshService()) => start({ url: master.url, service, options: { commandTimeout: '2s' } });

  it('resolves when they have it, and then they do', async () => {
    const name = freshService();
    const { service } = await producer(name);
    for (let i = 0; i < 20; i++) {
      await service.produce(`s${i}`, { waitReplicas: 1 });
      expect(await copy.xlen(`{${name}:0/1}:handoffs`)).toBe(i + 1);
    }
    const together = Array.from({ length: 50 }, (_, i) => service.produce(`t${i}`, { waitReplicas: 1 }));
    expect(new Set(await Promise.all(together)).size).toBe(50);
  });

  it('says so when too few have it; the hand-off stays, and the same dedupe id finds it', async () => {
    const { service } = await producer();
    const refused = await service.produce('x', { waitReplicas: 2, dedupeId: 'x' }).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'HANDOFF_UNCONFIRMED', retryable: true, replicas: 1 });
    expect(await service.stats()).toMatchObject({ queued: 1 });
    const { handoffId } = refused as { handoffId: string };
    expect(await service.produce('x', { waitReplicas: 1, dedupeId: 'x' })).toBe(handoffId);
    expect(await service.stats()).toMatchObject({ queued: 1 });
  });

  it('never takes an earlier write for this one: a duplicate is confirmed only when replicas have it', async () => {
    const { service } = await producer();
    await service.produce('warm', { waitReplicas: 1 });
    replica.freeze();
    try {
      const handoffId = await service.produce('x', { dedupeId: 'x' });
      await expect(service.produce('x', { dedupeId: 'x', waitReplicas: 1 })).rejects.toMatchObject({
        code: 'HANDOFF_UNCONFIRMED',
        handoffId,
        replicas: 0,
      });
      // What does not wait is not held up by what does.
      const waiting = service.produce('y', { waitReplicas: 1 }).catch((error: unknown) => error);
      const stalls = StallMeter.start();
      const at = performance.now();
      await service.produce('z');
      expect(performance.now() - at).toBeLessThan(1500 + stalls.stop());
      expect(await waiting).toMatchObject({ code: 'HANDOFF_UNCONFIRMED' });
    } finally {
      replica.thaw();
    }
  });

  it('goes on over a new connection when its own is cut', async () => {
    const { service } = await producer();
    await service.produce('a', { waitReplicas: 1 });
    await redis.client('KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await waitFor(
      () =>
        service.produce('b', { waitReplicas: 1, dedupeId: 'b' }).then(
          () => true,
          () => false,
        ),
      { description: 'it works again' },
    );
  });

  it.each([-1, 1.5, 101])('refuses %j of them', async (waitReplicas) => {
    const { service } = await producer();
    await expect(service.produce('x', { waitReplicas })).rejects.toMatchObject({ code: 'HANDOFF_INVALID' });
    expect(await service.stats()).toMatchObject({ queued: 0 });
  });
});
