import type { Handoff } from '@nest-baton/redis-reconcile';
import { Gate, waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { freshService, keysOf, openRedis, ownAsGhost, startInstance, startInstances } from './support/instance.js';

describe('an owner that is gone', () => {
  const start = startInstances();
  let redis: Redis;

  beforeAll(() => {
    redis = openRedis();
  });
  afterAll(() => redis.disconnect());

  /** Entries that a worker took and died with; it was silent for longer than any lease. */
  const orphans = async (service: string, count: number, leaseMs = 0): Promise<string[]> => {
    const producer = await startInstance({ service });
    const names = Array.from({ length: count }, (_, i) => `orphan-${i}`);
    for (const name of names) await producer.service.produce(name);
    await producer.close();
    await ownAsGhost(redis, service, count, leaseMs);
    return names;
  };

  it('is found by the scan alone, and the work comes to another consumer as its second attempt (MultiShardRecoveryViaPeriodicScan)', async () => {
    const service = freshService();
    await orphans(service, 3);
    const seen: Handoff[] = [];
    const instance = await start({ service, handle: async (handoff) => void seen.push(handoff) });
    await waitFor(() => seen.length === 3, { description: 'all orphans were recovered' });
    expect(seen.map(({ attempt }) => attempt)).toEqual([2, 2, 2]);
    expect(instance.eventsOf('requeued').every(({ cause }) => cause === 'crash')).toBe(true);
  });

  it('leaves exactly its unfinished entries behind (LBSRecoveryOfDiscontinuousStreamMessages)', async () => {
    const service = freshService();
    const names = await orphans(service, 5);
    const keys = keysOf(service);
    for (const done of ['orphan-1', 'orphan-3']) {
      const record = JSON.parse((await redis.hget(keys.owned, done)) ?? '{}') as { id: string };
      await redis.xack(keys.stream, 'owners', record.id);
      await redis.xdel(keys.stream, record.id);
      await redis.hdel(keys.owned, done);
    }
    const seen: string[] = [];
    await start({ service, handle: async ({ dataStream }) => void seen.push(dataStream) });
    await waitFor(() => seen.length === 3, { description: 'three were recovered' });
    expect(seen.sort()).toEqual(names.filter((name) => name !== 'orphan-1' && name !== 'orphan-3'));
  });

  it('is found behind a hundred owners that live, with a batch of 50 (R2)', async () => {
    const service = freshService();
    const gate = new Gate();
    const live = await start({ service, concurrency: 100, handle: () => gate.pass() });
    for (let i = 0; i < 100; i++) await live.service.produce(`live-${i}`);
    await gate.arrived(100);
    // Its own reader is full, so the next entry goes to the ghost.
    await live.service.produce('dead');
    await ownAsGhost(redis, service, 1);
    const seen: string[] = [];
    const rescuer = await start({ service, handle: async ({ dataStream }) => void seen.push(dataStream) });
    await waitFor(() => seen.includes('dead'), { description: 'the dead one was recovered', timeoutMs: 5000 });
    expect(live.eventsOf('lost')).toEqual([]);
    expect([...rescuer.eventsOf('requeued'), ...live.eventsOf('requeued')]).toHaveLength(1);
    gate.open();
    await waitFor(() => live.eventsOf('done').length === 100, { description: 'the live ones finished' });
  });

  it('never robs an owner that is slow but alive (MutexCheckPreventsDuplicateProcessingOfSlowConsumers)', async () => {
    const service = freshService();
    const gate = new Gate();
    const slow = await start({ service, handle: () => gate.pass() });
    await slow.service.produce('slow');
    await gate.arrived();
    const other = await start({ service, handle: () => Promise.reject(new Error('must not get it')) });
    await waitFor(() => other.eventsOf('scanned').length > 12, { description: 'many looks, over two leases' });
    expect(other.eventsOf('requeued')).toEqual([]);
    expect(slow.eventsOf('lost')).toEqual([]);
    gate.open();
    await waitFor(() => slow.eventsOf('done').length === 1, { description: 'it finished' });
  });

  it('is recovered exactly once by many scanners at once (XAckFirstDeduplicationAcrossConcurrentRecoverers)', async () => {
    const service = freshService();
    // Leased until all have started: the look of a start must not take what the looks below are counted for.
    const names = await orphans(service, 200, 600_000);
    const idle = { recovery: { interval: '1h', batchSize: 7 } } as const;
    const seen: string[] = [];
    const scanners = await Promise.all(
      Array.from({ length: 5 }, () =>
        start({ service, options: idle, handle: async ({ dataStream }) => void seen.push(dataStream) }),
      ),
    );
    await waitFor(() => scanners.every((one) => one.eventsOf('scanned').length > 0), {
      description: 'the looks of all starts to be over',
      timeoutMs: 30_000,
    });
    await redis.del(names.map((name) => keysOf(service).lease(name)));
    await waitFor(
      async () => (await redis.xpending(keysOf(service).stream, 'owners', 'IDLE', 1000, '-', '+', 200)).length === 200,
      {
        description: 'all orphans are idle for a lease',
      },
    );
    const reports = await Promise.all(scanners.map(({ service: one }) => one.reconcileNow()));
    expect(reports.reduce((sum, { requeued }) => sum + requeued, 0)).toBe(200);
    await waitFor(() => seen.length >= 200, { description: 'all were handled' });
    expect(seen.sort()).toEqual(names.sort());
  });

  it('costs no retry when it read an entry and never leased it, up to ten times', async () => {
    const service = freshService();
    const producer = await start({ service });
    const id = await producer.service.produce('x');
    const keys = keysOf(service);
    await redis.xgroup('CREATE', keys.stream, 'owners', '0', 'MKSTREAM');
    for (let times = 1; times <= 10; times++) {
      await redis.call('XREADGROUP', 'GROUP', 'owners', 'ghost', 'STREAMS', keys.stream, '>');
      const [, entryId] = await aged(redis, keys.stream);
      expect(await producer.service.reconcileNow()).toMatchObject({ requeued: 1, deadLettered: 0 });
      expect(entryId).toBeDefined();
      const [entry] = await redis.xrange(keys.stream, '-', '+');
      expect(entry?.[1]).toEqual(expect.arrayContaining(['id', id, 'unleased', String(times)]));
      expect(entry?.[1]).not.toContain('count');
    }
    await redis.call('XREADGROUP', 'GROUP', 'owners', 'ghost', 'STREAMS', keys.stream, '>');
    await aged(redis, keys.stream);
    expect(await producer.service.reconcileNow()).toMatchObject({ requeued: 0, deadLettered: 1 });
    expect(await producer.service.deadLetters.get(id)).toMatchObject({ reason: 'never_leased', dataStream: 'x' });
  });

  it('starts those ten times anew for whoever comes after an owner, dead or not', async () => {
    const service = freshService();
    const keys = keysOf(service);
    const first = await start({ service });
    await redis.xadd(keys.stream, '*', 'stream', 'x', 'unleased', '9');
    await ownAsGhost(redis, service, 1);
    await aged(redis, keys.stream);
    expect(await first.service.reconcileNow()).toMatchObject({ requeued: 1 });
    const [afterCrash] = await redis.xrange(keys.stream, '-', '+');
    expect(afterCrash?.[1]).toEqual(expect.arrayContaining(['unleased', '0', 'count', '1']));
    await redis.del(keys.stream);
    await redis.xadd(keys.stream, '*', 'stream', 'y', 'unleased', '9');
    const owned = new Gate();
    const second = await start({ service, handle: async () => owned.pass() });
    await owned.arrived();
    await second.service.release('y');
    await second.close();
    owned.open();
    const [afterRelease] = await redis.xrange(keys.stream, '-', '+');
    const fields = afterRelease?.[1] ?? [];
    // 1 when it was read once more while the process went away.
    expect(['0', '1']).toContain(fields[fields.indexOf('unleased') + 1]);
  });

  it('may have a pending entry that is gone from the stream: it is cleaned up, and its data stream is free again', async () => {
    const service = freshService();
    await orphans(service, 1);
    const keys = keysOf(service);
    const [entry] = await redis.xrange(keys.stream, '-', '+');
    await redis.xdel(keys.stream, entry?.[0] ?? '');
    const seen: string[] = [];
    const instance = await start({ service, handle: async ({ dataStream }) => void seen.push(dataStream) });
    await instance.service.produce('orphan-0');
    await waitFor(() => seen.length === 1, { description: 'the new hand-off of the same data stream ran' });
    await waitFor(async () => (await redis.xpending(keys.stream, 'owners'))[0] === 0, {
      description: 'no ghost is left',
    });
  });

  it('reads a count that is absent, negative or no number as none', async () => {
    const service = freshService();
    const keys = keysOf(service);
    const counts = ['-3', 'many', '1e9', ''];
    for (const [i, count] of counts.entries()) await redis.xadd(keys.stream, '*', 'stream', `s${i}`, 'count', count);
    const attempts: number[] = [];
    await start({ service, handle: async ({ attempt }) => void attempts.push(attempt) });
    await waitFor(() => attempts.length === counts.length, { description: 'all arrived' });
    expect(attempts).toEqual([1, 1, 1, 1]);
  });
});

/** Makes the only pending entry look as old as a lease. */
async function aged(redis: Redis, stream: string): Promise<[string, string]> {
  const [pending] = (await redis.xpending(stream, 'owners', '-', '+', 1)) as [string][];
  const id = pending?.[0] ?? '';
  await redis.call('XCLAIM', stream, 'owners', 'ghost', 0, id, 'IDLE', 5000, 'RETRYCOUNT', 1, 'JUSTID');
  return ['ghost', id];
}
