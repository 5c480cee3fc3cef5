import { waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { partitionOf } from '../../libs/redis-reconcile/src/partitions/partition-of.js';
import { freshService, keysOf, openRedis, ownAsGhost, startInstances } from './support/instance.js';

describe('an entry that the server cannot act on', () => {
  const start = startInstances();
  let redis: Redis;

  beforeAll(() => {
    redis = openRedis();
  });
  afterAll(() => redis.disconnect());

  /** Names that belong to this partition of two. */
  const namesOf = (partition: number, count: number): string[] =>
    Array.from({ length: 100 }, (_, i) => `name-${i}`)
      .filter((name) => partitionOf(name, 2) === partition)
      .slice(0, count);

  it('stops neither those behind it nor the next partition, and is told of in every pass', async () => {
    const service = freshService();
    const [bad = '', ...behind] = namesOf(0, 4);
    const [elsewhere = ''] = namesOf(1, 1);
    const [keys, next] = [keysOf(service, 0, 2), keysOf(service, 1, 2)];
    // No attempt is left to it, and the dead letters cannot take it.
    await redis.xadd(keys.stream, '*', 'stream', bad, 'count', '3');
    for (const name of behind) await redis.xadd(keys.stream, '*', 'stream', name);
    await ownAsGhost(redis, service, 4, 0, keys);
    await redis.set(keys.dlq, 'no stream');
    await redis.xadd(next.stream, '*', 'stream', elsewhere);
    await redis.xgroup('CREATE', next.stream, 'owners', '0');
    await redis.call('XREADGROUP', 'GROUP', 'owners', 'ghost', 'STREAMS', next.stream, '>');
    const seen: string[] = [];
    const options = { partitions: 2 };
    const instance = await start({ service, options, handle: async ({ dataStream }) => void seen.push(dataStream) });
    await waitFor(() => seen.length === 4, { description: 'all others were recovered' });
    expect(seen.sort()).toEqual([...behind, elsewhere].sort());
    await expect(instance.service.reconcileNow()).rejects.toThrow('WRONGTYPE');
    await redis.del(keys.dlq);
    await waitFor(() => instance.eventsOf('deadLettered').length === 1, { description: 'it is given up at last' });
    expect(instance.eventsOf('deadLettered')).toMatchObject([{ dataStream: bad, reason: 'max_retries_exceeded' }]);
  });

  it('does not keep records without an entry from being freed', async () => {
    const service = freshService();
    const keys = keysOf(service);
    await redis.set(keys.waiting('bad'), 'no list');
    for (const name of ['bad', 'good']) {
      const record = { id: '1-1', token: `ghost-${name}`, fence: '1', consumer: 'ghost' };
      await redis.hset(keys.owned, name, JSON.stringify(record));
    }
    const seen: string[] = [];
    const instance = await start({ service, handle: async ({ dataStream }) => void seen.push(dataStream) });
    await waitFor(async () => (await redis.hexists(keys.owned, 'good')) === 0, { description: 'the record is freed' });
    await instance.service.produce('good');
    await waitFor(() => seen.length === 1, { description: 'its data stream has a new owner' });
    expect(await redis.hexists(keys.owned, 'bad')).toBe(1);
  });
});
