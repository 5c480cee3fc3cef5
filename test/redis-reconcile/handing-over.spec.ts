import type { Handoff } from '@nest-baton/redis-reconcile';
import { openGate, StallMeter, waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { freshService, keysOf, openRedis, startInstances } from './support/instance.js';

describe('handing over', () => {
  const start = startInstances();
  let redis: Redis;

  beforeAll(() => {
    redis = openRedis();
  });
  afterAll(() => redis.disconnect());

  it('gives the owner the name, the info and the id that the producer was told, as the first attempt', async () => {
    const seen: Handoff[] = [];
    const { service } = await start({ service: freshService(), handle: async (handoff) => void seen.push(handoff) });
    const info = { user: 7, text: 'ä\n"{}"' };
    const id = await service.produce('run-1', { info });
    await waitFor(() => seen.length === 1, { description: 'the hand-off arrived' });
    expect(seen[0]).toMatchObject({ handoffId: id, dataStream: 'run-1', info, attempt: 1 });
    expect(seen[0]?.fence).toBeGreaterThan(1_700_000_000_000_000);
    expect(Number.isSafeInteger(seen[0]?.fence)).toBe(true);
  });

  it('delivers what was handed off before the first worker ever started (R13)', async () => {
    const service = freshService();
    const producer = await start({ service });
    await producer.service.produce('early');
    const seen: string[] = [];
    await start({ service, handle: async ({ dataStream }) => void seen.push(dataStream) });
    await waitFor(() => seen.includes('early'), { description: 'the early hand-off arrived' });
  });

  it('spreads hand-offs over consumers, each to one of them (LBS)', async () => {
    const service = freshService();
    const gate = openGate();
    gate.close();
    const seen: Record<string, string[]> = { a: [], b: [] };
    for (const name of ['a', 'b'])
      await start({
        service,
        concurrency: 1,
        handle: async ({ dataStream }) => {
          seen[name]?.push(dataStream);
          await gate.pass();
        },
      });
    const producer = await start({ service });
    await producer.service.produce('one');
    await producer.service.produce('two');
    await waitFor(() => seen['a']?.length === 1 && seen['b']?.length === 1, { description: 'one each' });
    expect([...(seen['a'] ?? []), ...(seen['b'] ?? [])].sort()).toEqual(['one', 'two']);
    gate.open();
  });

  it('gives nothing before there is an entry, and the entry as soon as there is one (BlockingRead)', async () => {
    const seen: string[] = [];
    const { service } = await start({
      service: freshService(),
      options: { block: '20s' },
      handle: async ({ dataStream }) => void seen.push(dataStream),
    });
    expect(seen).toEqual([]);
    const stalls = StallMeter.start();
    const at = performance.now();
    await service.produce('now');
    await waitFor(() => seen.length === 1, { description: 'the hand-off arrived' });
    expect(performance.now() - at).toBeLessThan(2_000 + stalls.stop());
  });

  it('takes a raw XADD with the documented fields, and keeps foreign fields through a requeue', async () => {
    const name = freshService();
    const seen: Handoff[] = [];
    const foreign: unknown[] = [];
    await start({
      service: name,
      handle: async (handoff) => {
        const [entry] = await redis.xrange(keysOf(name).stream, '-', '+');
        foreign.push(entry?.[1][entry[1].indexOf('trace') + 1]);
        seen.push(handoff);
        if (handoff.attempt === 1) throw new Error('not yet');
      },
    });
    const id = await redis.xadd(
      keysOf(name).stream,
      '*',
      'stream',
      'raw',
      'info',
      '{"a":1}',
      'trace',
      'über\u0000bytes',
    );
    await waitFor(() => seen.length === 1, { description: 'the raw entry arrived' });
    expect(seen[0]).toMatchObject({ dataStream: 'raw', info: { a: 1 }, handoffId: id });
    await waitFor(() => seen.length === 2, { description: 'the raw entry came back' });
    expect(seen[1]).toMatchObject({ handoffId: id, attempt: 2, info: { a: 1 } });
    expect(foreign).toEqual(['über\u0000bytes', 'über\u0000bytes']);
  });

  it('removes a finished hand-off and leaves the stream (XAckDelBehavior)', async () => {
    const name = freshService();
    const done: string[] = [];
    const instance = await start({ service: name, handle: async ({ dataStream }) => void done.push(dataStream) });
    for (const dataStream of ['a', 'b', 'c']) await instance.service.produce(dataStream);
    await waitFor(() => instance.eventsOf('done').length === 3, { description: 'all are done' });
    expect(await instance.service.stats()).toMatchObject({ queued: 0, pending: 0, owned: 0, waiting: 0, dead: 0 });
    expect(await redis.exists(keysOf(name).stream)).toBe(1);
    expect(await redis.hlen(keysOf(name).owned)).toBe(0);
    expect(await redis.exists(keysOf(name).lease('a'))).toBe(0);
  });

  it.each(['{a}b', 'line\nbreak', '👩‍🚀', 'a:b*?[c]', ' ', '__proto__'])('takes the name %j', async (dataStream) => {
    const seen: string[] = [];
    const { service } = await start({ service: freshService(), handle: async (h) => void seen.push(h.dataStream) });
    await service.produce(dataStream);
    await waitFor(() => seen[0] === dataStream, { description: 'it arrived' });
  });

  it.each([
    ['an empty name', '', undefined],
    ['a name above 1 KiB', 'ä'.repeat(513), undefined],
    ['a lone surrogate', 'a\uD800', undefined],
    ['no name at all', undefined as unknown as string, undefined],
    ['an info that is no JSON', 'x', { info: () => 1 }],
    ['an info that is a circle', 'x', { info: circle() }],
    ['an info above 1 MiB', 'x', { info: 'x'.repeat(1024 * 1024) }],
    ['an empty dedupe id', 'x', { dedupeId: '' }],
  ])('refuses %s and writes nothing', async (_what, dataStream, options) => {
    const name = freshService();
    const { service } = await start({ service: name });
    await expect(service.produce(dataStream, options)).rejects.toMatchObject({
      code: 'HANDOFF_INVALID',
      retryable: false,
    });
    expect(await redis.exists(keysOf(name).stream)).toBe(0);
  });

  it('adds nothing for a dedupe id that it has seen, and returns the first id, also to producers at once', async () => {
    const name = freshService();
    const { service } = await start({ service: name });
    const ids = await Promise.all(Array.from({ length: 20 }, () => service.produce('x', { dedupeId: 'once' })));
    expect(new Set(ids).size).toBe(1);
    expect(await redis.xlen(keysOf(name).stream)).toBe(1);
    await service.produce('x', { dedupeId: 'twice' });
    await service.produce('y', { dedupeId: 'once' });
    expect(await redis.xlen(keysOf(name).stream)).toBe(3);
  });

  it('neither reads nor scans without a handler', async () => {
    const name = freshService();
    const instance = await start({ service: name });
    await instance.service.produce('x');
    expect(await redis.xlen(keysOf(name).stream)).toBe(1);
    expect(instance.eventsOf('scanned')).toEqual([]);
    expect(((await redis.client('LIST')) as string).includes(`${name}:`)).toBe(false);
    expect(await instance.service.stats()).toMatchObject({ queued: 1, pending: 0 });
  });

  it('holds no more than its concurrency and reads on as slots come free', async () => {
    const gate = openGate();
    gate.close();
    let most = 0;
    let now = 0;
    const instance = await start({
      service: freshService(),
      concurrency: 3,
      handle: async () => {
        most = Math.max(most, ++now);
        await gate.pass();
        now--;
      },
    });
    for (let i = 0; i < 10; i++) await instance.service.produce(`s${i}`);
    await gate.arrived(3);
    expect(await instance.service.stats()).toMatchObject({ pending: 3, owned: 3, queued: 7 });
    gate.open();
    await waitFor(() => instance.eventsOf('done').length === 10, { description: 'all are done' });
    expect(most).toBe(3);
  });

  it('spreads data streams over partitions, and one process serves them all', async () => {
    const name = freshService();
    const seen = new Set<string>();
    const { service } = await start({
      service: name,
      concurrency: 2,
      options: { partitions: 4 },
      handle: async ({ dataStream }) => void seen.add(dataStream),
    });
    const names = Array.from({ length: 40 }, (_, i) => `stream-${i}`);
    await Promise.all(names.map((dataStream) => service.produce(dataStream)));
    await waitFor(() => seen.size === 40, { description: 'all arrived' });
    for (let p = 0; p < 4; p++) expect(await redis.exists(keysOf(name, p, 4).stream)).toBe(1);
  });

  it('settles a hand-off by name and by object, once, and knows when it holds none', async () => {
    const gate = openGate();
    gate.close();
    const held: Handoff[] = [];
    const instance = await start({
      service: freshService(),
      handle: async (handoff) => {
        held.push(handoff);
        await gate.pass();
      },
    });
    const { service } = instance;
    await service.produce('a');
    await service.produce('b');
    await gate.arrived(2);
    await service.doneStream('a');
    const b = held.find(({ dataStream }) => dataStream === 'b') as Handoff;
    await service.doneStream(b);
    await service.doneStream(b);
    await expect(service.doneStream('a')).rejects.toMatchObject({ code: 'HANDOFF_NOT_OWNED' });
    await expect(service.release('nobody')).rejects.toMatchObject({ code: 'HANDOFF_NOT_OWNED' });
    gate.open();
    await waitFor(async () => (await service.stats()).pending === 0, { description: 'all are settled' });
    expect(instance.eventsOf('done')).toHaveLength(2);
  });
});

function circle(): unknown {
  const value: Record<string, unknown> = {};
  value['self'] = value;
  return value;
}
