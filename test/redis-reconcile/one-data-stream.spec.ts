import { Gate, waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { freshService, keysOf, openRedis, ownAsGhost, startInstances } from './support/instance.js';

describe('several hand-offs of one data stream', () => {
  const start = startInstances();
  let redis: Redis;

  beforeAll(() => {
    redis = openRedis();
  });
  afterAll(() => redis.disconnect());

  it('never run at once: the second waits and follows the first (R10)', async () => {
    const service = freshService();
    let running = 0;
    let most = 0;
    const order: unknown[] = [];
    const gate = new Gate();
    const handle = async ({ info }: { info: unknown }) => {
      most = Math.max(most, ++running);
      order.push(info);
      await gate.pass();
      running--;
    };
    const first = await start({ service, handle });
    await start({ service, handle });
    for (const info of [1, 2, 3]) {
      await first.service.produce('x', { info });
      const waiting = info - 1;
      await waitFor(
        async () => {
          const stats = await first.service.stats();
          return stats.waiting === waiting && stats.pending === 1 && stats.queued === 0;
        },
        { description: `${waiting} wait` },
      );
    }
    expect(await first.service.stats()).toMatchObject({ queued: 0, pending: 1, waiting: 2 });
    gate.open();
    await waitFor(() => order.length === 3 && running === 0, { description: 'all ran' });
    expect(most).toBe(1);
    expect(order).toEqual([1, 2, 3]);
    await waitFor(async () => (await first.service.stats()).pending === 0, { description: 'all are done' });
    expect(await first.service.stats()).toMatchObject({ queued: 0, pending: 0, waiting: 0 });
    expect(await redis.exists(keysOf(service).waiting('x'))).toBe(0);
  });

  it('wait on while the first is tried again, and follow it when it is given up', async () => {
    const service = freshService();
    const seen: string[] = [];
    const instance = await start({
      service,
      options: { recovery: { maxRetries: 1 } },
      handle: async ({ info, attempt }) => {
        seen.push(`${String(info)}:${attempt}`);
        if (info === 'bad') throw new Error('no');
      },
    });
    await instance.service.produce('x', { info: 'bad' });
    await instance.service.produce('x', { info: 'good' });
    await waitFor(() => instance.eventsOf('done').length === 1, { description: 'the second is done' });
    expect(seen).toEqual(['bad:1', 'bad:2', 'good:1']);
    expect(await instance.service.stats()).toMatchObject({ queued: 0, pending: 0, waiting: 0, dead: 1 });
  });

  it('follow an owner that died', async () => {
    const service = freshService();
    const producer = await start({ service });
    await producer.service.produce('x', { info: 1 });
    await ownAsGhost(redis, service, 1, 1000);
    await producer.service.produce('x', { info: 2 });
    const seen: unknown[] = [];
    const instance = await start({ service, handle: async ({ info, attempt }) => void seen.push([info, attempt]) });
    await waitFor(() => instance.eventsOf('done').length === 2, { description: 'both ran' });
    expect(seen).toEqual([
      [1, 2],
      [2, 1],
    ]);
  });

  it('are not blocked for ever by a record whose entry somebody deleted', async () => {
    const service = freshService();
    const producer = await start({ service });
    await producer.service.produce('x', { info: 1 });
    await ownAsGhost(redis, service, 1);
    await redis.xtrim(keysOf(service).stream, 'MAXLEN', 0);
    await producer.service.produce('x', { info: 2 });
    await producer.service.produce('x', { info: 3 });
    const seen: unknown[] = [];
    await start({ service, handle: async ({ info }) => void seen.push(info) });
    await waitFor(() => seen.length === 2, { description: 'both ran' });
    expect(seen).toEqual([2, 3]);
  });
});
