import { Gate, waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { freshService, keysOf, openRedis, ownAsGhost, startInstance, startInstances } from './support/instance.js';

describe('consumers that are gone', () => {
  const start = startInstances();
  let redis: Redis;

  beforeAll(() => {
    redis = openRedis();
  });
  afterAll(() => redis.disconnect());

  const namesOf = async (key: string, group = 'owners'): Promise<string[]> =>
    ((await redis.xinfo('CONSUMERS', key, group)) as string[][]).map((one) => one[one.indexOf('name') + 1] ?? '');

  it('are removed when they have nothing pending, and those with something keep it until it is recovered (B37)', async () => {
    const service = freshService();
    const { stream } = keysOf(service);
    const producer = await start({ service });
    await producer.service.produce('held by a ghost');
    await redis.xgroup('CREATE', stream, 'owners', '0');
    await redis.call('XREADGROUP', 'GROUP', 'owners', 'with-pending', 'COUNT', 1, 'STREAMS', stream, '>');
    for (let i = 0; i < 150; i++) await redis.call('XGROUP', 'CREATECONSUMER', stream, 'owners', `pod-${i}`);
    const seen: string[] = [];
    // The ghost's entry is not suspected for an hour: its consumer must stay.
    const options = { recovery: { minIdle: '1h' } } as const;
    await start({ service, options, handle: async ({ dataStream }) => void seen.push(dataStream) });
    await waitFor(async () => (await namesOf(stream)).filter((name) => name.startsWith('pod-')).length === 0, {
      description: 'the empty ones are gone',
      timeoutMs: 60_000,
    });
    expect((await namesOf(stream)).filter((name) => !name.startsWith('test~'))).toEqual(['with-pending']);
    const pending = (await redis.xpending(stream, 'owners', '-', '+', 10)) as string[][];
    expect(pending.map(([, owner]) => owner)).toEqual(['with-pending']);
    await start({ service, handle: async ({ dataStream }) => void seen.push(dataStream) });
    await waitFor(() => seen.includes('held by a ghost'), { description: 'its work came to somebody' });
    await waitFor(async () => !(await namesOf(stream)).includes('with-pending'), {
      description: 'then it is gone too',
      timeoutMs: 60_000,
    });
  }, 130_000);

  it('of the dead letters go as well', async () => {
    const service = freshService();
    const { dlq } = keysOf(service);
    await redis.xgroup('CREATE', dlq, 'handlers', '0', 'MKSTREAM');
    for (let i = 0; i < 10; i++) await redis.call('XGROUP', 'CREATECONSUMER', dlq, 'handlers', `pod-${i}`);
    await start({ service, handle: async () => undefined });
    await waitFor(async () => (await namesOf(dlq, 'handlers')).length === 0, {
      description: 'they are gone',
      timeoutMs: 60_000,
    });
  }, 70_000);

  it('do not pile up where pods of random names come and go, and no work is lost by it', async () => {
    const service = freshService();
    const { stream, dlq } = keysOf(service);
    const done = new Set<string>();
    const handle = async ({ dataStream }: { dataStream: string }) => void done.add(dataStream);
    const staying = await start({ service, handle, onDeadLetter: async () => undefined });
    for (let round = 0; round < 10; round++) {
      const pods = await Promise.all(
        Array.from({ length: 5 }, (_, i) =>
          startInstance({
            service,
            handle,
            onDeadLetter: async () => undefined,
            options: { consumerId: `pod-${round}-${i}` },
          }),
        ),
      );
      await Promise.all(Array.from({ length: 5 }, (_, i) => staying.service.produce(`${round}-${i}`)));
      await Promise.all(pods.map((pod) => pod.close()));
    }
    await waitFor(() => done.size === 50, { description: 'all was done' });
    for (const [key, group] of [
      [stream, 'owners'],
      [dlq, 'handlers'],
    ] as const)
      expect((await namesOf(key, group)).filter((name) => name.startsWith('pod-'))).toEqual([]);
    expect(await staying.service.stats()).toMatchObject({ queued: 0, pending: 0, waiting: 0, dead: 0 });
  }, 60_000);

  it('and were deleted with work pending lose none of it (Watermill 24)', async () => {
    const service = freshService();
    const { stream } = keysOf(service);
    const producer = await start({ service });
    const names = Array.from({ length: 130 }, (_, i) => `s${i}`);
    await Promise.all(names.map((name) => producer.service.produce(name)));
    const leased = await ownAsGhost(redis, service, 5);
    await redis.call('XREADGROUP', 'GROUP', 'owners', 'read-only', 'COUNT', 125, 'STREAMS', stream, '>');
    for (const consumer of ['ghost', 'read-only']) await redis.xgroup('DELCONSUMER', stream, 'owners', consumer);
    expect((await redis.xpending(stream, 'owners'))[0]).toBe(0);
    const attempts = new Map<string, number>();
    const worker = await start({
      service,
      concurrency: 50,
      handle: async ({ dataStream, attempt }) => void attempts.set(dataStream, attempt),
    });
    await waitFor(() => attempts.size === 130, { description: 'all of it came to somebody', timeoutMs: 60_000 });
    for (const name of names) expect(attempts.get(name)).toBe(leased.includes(name) ? 2 : 1);
    expect(await worker.service.stats()).toMatchObject({ queued: 0, waiting: 0, dead: 0 });
  }, 70_000);

  it('and were deleted while their owner lives leave the work with it', async () => {
    const service = freshService();
    const { stream } = keysOf(service);
    const gate = new Gate();
    let runs = 0;
    const instance = await start({
      service,
      handle: async () => {
        runs++;
        await gate.pass();
      },
    });
    await instance.service.produce('x');
    await gate.arrived();
    for (const name of await namesOf(stream)) await redis.xgroup('DELCONSUMER', stream, 'owners', name);
    await waitFor(async () => (await redis.xpending(stream, 'owners'))[0] === 1, {
      description: 'it is pending again',
    });
    const passes = instance.eventsOf('scanned').length;
    await waitFor(() => instance.eventsOf('scanned').length > passes + 10, { description: 'scans that look at it' });
    gate.open();
    await waitFor(() => instance.eventsOf('done').length === 1, { description: 'it is done' });
    expect(runs).toBe(1);
    expect(await redis.xlen(stream)).toBe(0);
  });
});
