import { sharedRedisUrl, waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { setTimeout as sleep } from 'node:timers/promises';
import { HookedRedis } from './support/hooked-redis.js';
import { freshService, keysOf, openRedis, ownAsGhost, startInstances } from './support/instance.js';

/** Those that no other suite looks at; R18 is about options that are read and do nothing. */
describe('an option acts', () => {
  const start = startInstances();
  let redis: Redis;
  beforeAll(() => {
    redis = openRedis();
  });
  afterAll(() => redis.disconnect());

  /** Commands as they go out, and the client that sends them. */
  const overheard = () => {
    const commands: string[][] = [];
    const instance = new HookedRedis(sharedRedisUrl(), (name, args) => {
      commands.push([name, ...args.flat().map(String)]);
      return undefined;
    });
    return { commands, connection: { instance } };
  };

  it('block: reads are parked for that long', async () => {
    const { commands, connection } = overheard();
    await start({ service: freshService(), options: { connection, block: 123 }, handle: async () => undefined });
    const parked = () => commands.find(([name, ...words]) => name === 'xreadgroup' && words.includes('BLOCK'));
    const command = await waitFor(parked, { description: 'a read is parked' });
    expect(command?.[command.indexOf('BLOCK') + 1]).toBe('123');
  });

  it('recovery.batchSize: a look takes so many at a time', async () => {
    const service = freshService();
    const keys = keysOf(service);
    for (let i = 0; i < 5; i++) await redis.xadd(keys.stream, '*', 'stream', `s${i}`);
    await ownAsGhost(redis, service, 5);
    const { commands, connection } = overheard();
    const instance = await start({ service, options: { connection, recovery: { batchSize: 2, interval: '1h' } } });
    await sleep(1_100);
    expect(await instance.service.reconcileNow()).toMatchObject({ scanned: 5, requeued: 5 });
    // Three pages, and a call to act on each.
    const scripts = commands.filter(([name, , , key]) => name?.startsWith('eval') && key === keys.stream);
    expect(scripts.length).toBeGreaterThanOrEqual(6);
  });

  it('dedupeWindow: what is handed off again after it is added again', async () => {
    const service = freshService();
    const { service: handoffs } = await start({ service, options: { dedupeWindow: '1s' } });
    const once = () => handoffs.produce('x', { dedupeId: 'id' });
    const first = await once();
    expect(await once()).toBe(first);
    await waitFor(async () => (await once()) !== first, { description: 'the window is over' });
    expect(await redis.xlen(keysOf(service).stream)).toBe(2);
  });

  it('nackBackoff: what is refused comes back after base, and later after twice that', async () => {
    const delays: number[] = [];
    const instance = await start({
      service: freshService(),
      options: { nackBackoff: { base: 100, cap: 150 }, recovery: { maxRetries: 3 } },
      handle: () => Promise.reject(new Error('never')),
    });
    instance.service.on('nacked', ({ delayMs }) => delays.push(delayMs));
    await instance.service.produce('x');
    await waitFor(() => instance.eventsOf('deadLettered').length === 1, { description: 'it is given up' });
    // Half of it is chance.
    for (const [i, most] of [100, 150, 150].entries()) {
      expect(delays[i]).toBeGreaterThanOrEqual(most / 2);
      expect(delays[i]).toBeLessThanOrEqual(most);
    }
  });

  it('recovery.dlqStream, service and consumerId: keys and owners are named after them', async () => {
    const service = freshService();
    const consumers: string[] = [];
    const instance = await start({
      service,
      options: { consumerId: 'me', recovery: { dlqStream: 'morgue', maxRetries: 0 } },
      handle: ({ consumer }) => {
        consumers.push(consumer);
        return Promise.reject(new Error('never'));
      },
    });
    await instance.service.produce('x');
    await waitFor(() => instance.eventsOf('deadLettered').length === 1, { description: 'it is given up' });
    expect(await redis.xlen(`{${service}:0/1}:morgue`)).toBe(1);
    expect(consumers).toEqual([expect.stringMatching(/^me~/)]);
  });
});
