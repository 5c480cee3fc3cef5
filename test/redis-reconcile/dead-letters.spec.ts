import { type Handoff, NackError } from '@nest-baton/redis-reconcile';
import { Gate, waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { freshService, keysOf, openRedis, startInstances } from './support/instance.js';

describe('what is given up', () => {
  const start = startInstances();
  let redis: Redis;

  beforeAll(() => {
    redis = openRedis();
  });
  afterAll(() => redis.disconnect());

  it('goes to the dead letters after the first attempt and three more (RetryCountEscalatesAcrossReQueuesToDLQ)', async () => {
    const service = freshService();
    const attempts: number[] = [];
    const fences: number[] = [];
    const instance = await start({
      service,
      handle: async ({ attempt, fence }) => {
        attempts.push(attempt);
        fences.push(fence);
        throw new Error('out of paper');
      },
    });
    const id = await instance.service.produce('x', { info: { a: 1 } });
    const dead = await waitFor(() => instance.service.deadLetters.get(id), { description: 'it was given up' });
    expect(attempts).toEqual([1, 2, 3, 4]);
    expect(dead).toMatchObject({
      handoffId: id,
      dataStream: 'x',
      info: { a: 1 },
      reason: 'max_retries_exceeded',
      attempts: 4,
      lastError: 'out of paper',
      isHandled: true,
    });
    expect(dead.lastOwner).toMatch(/^test~/);
    expect(Math.abs(dead.deadAt.getTime() - Date.now())).toBeLessThan(60_000);
    expect([...fences].sort((a, b) => a - b)).toEqual(fences);
    expect(dead.fence).toBeGreaterThan(fences.at(-1) ?? 0);
    expect(await instance.service.stats()).toMatchObject({ queued: 0, pending: 0, held: 0, dead: 1 });
    expect(await redis.hlen(keysOf(service).owned)).toBe(0);
  });

  it('goes there at the first failure with maxRetries 0 (RetryCountAndDLQRouting)', async () => {
    const instance = await start({
      service: freshService(),
      handle: () => Promise.reject(new Error('no')),
      options: { recovery: { maxRetries: 0 } },
    });
    const id = await instance.service.produce('x');
    const dead = await waitFor(() => instance.service.deadLetters.get(id), { description: 'it was given up' });
    expect(dead.attempts).toBe(1);
  });

  it('is told until onDeadLetter resolves, with the reason and a fence above that of every owner', async () => {
    const told: { fence: number; reason: string; attempt: number }[] = [];
    const fences: number[] = [];
    const instance = await start({
      service: freshService(),
      handle: async ({ fence }) => {
        fences.push(fence);
        throw new NackError({ delay: 1 });
      },
      onDeadLetter: async ({ fence, attempt, dataStream }, reason) => {
        expect(dataStream).toBe('x');
        told.push({ fence, reason, attempt });
        if (told.length < 3) throw new Error('database is away');
      },
      options: { recovery: { maxRetries: 1 } },
    });
    const id = await instance.service.produce('x');
    await waitFor(() => told.length === 3, { description: 'it was told three times' });
    const letter = await waitFor(
      async () => {
        const found = await instance.service.deadLetters.get(id);
        return found?.isHandled === true ? found : undefined;
      },
      { description: 'it counts as handled' },
    );
    expect(new Set(told.map(({ fence }) => fence))).toEqual(new Set([letter.fence]));
    expect(letter.fence).toBeGreaterThan(Math.max(...fences));
    expect(told[0]).toMatchObject({ reason: 'max_retries_exceeded', attempt: 2 });
  });

  it('is told by another process when the one that was told first died over it', async () => {
    const service = freshService();
    const keys = keysOf(service);
    const first = await start({
      service,
      handle: () => Promise.reject(new Error('no')),
      options: { recovery: { maxRetries: 0 } },
    });
    const id = await first.service.produce('x');
    await waitFor(() => first.service.deadLetters.get(id), { description: 'it was given up' });
    await redis.xgroup('CREATE', keys.dlq, 'handlers', '0');
    await redis.call('XREADGROUP', 'GROUP', 'handlers', 'ghost', 'STREAMS', keys.dlq, '>');
    expect(await first.service.deadLetters.get(id)).toMatchObject({ isHandled: false });
    const told: string[] = [];
    const second = await start({
      service,
      handle: async () => undefined,
      onDeadLetter: async (h) => void told.push(h.handoffId),
    });
    await waitFor(() => told.includes(id), { description: 'the second process was told' });
    await waitFor(async () => (await second.service.deadLetters.get(id))?.isHandled, {
      description: 'it counts as handled',
    });
  });

  it('raises its fence above what the resource has seen', async () => {
    const raised: number[] = [];
    const instance = await start({
      service: freshService(),
      handle: () => Promise.reject(new Error('no')),
      onDeadLetter: async (handoff: Handoff) => {
        await handoff.raiseFence(handoff.fence + 1000);
        raised.push(handoff.fence);
      },
      options: { recovery: { maxRetries: 0 } },
    });
    const id = await instance.service.produce('x');
    await waitFor(() => raised.length === 1, { description: 'the fence was raised' });
    expect(raised[0]).toBe(((await instance.service.deadLetters.get(id))?.fence ?? 0) + 1001);
  });

  it('is capped, the oldest go first, but never one that its handler was not told of', async () => {
    const service = freshService();
    let isReady = false;
    const told: string[] = [];
    const instance = await start({
      service,
      concurrency: 1,
      handle: () => Promise.reject(new Error('no')),
      onDeadLetter: async ({ dataStream }) => {
        if (!isReady) throw new Error('not ready');
        told.push(dataStream);
      },
      options: { recovery: { maxRetries: 0, dlqMaxLen: 3 } },
    });
    const produce = async (names: string[]) => {
      for (const name of names) await instance.service.produce(name);
      await waitFor(() => instance.eventsOf('deadLettered').some(({ dataStream }) => dataStream === names.at(-1)), {
        description: 'all were given up',
      });
    };
    await produce(['a', 'b', 'c', 'd', 'e']);
    expect(await redis.xlen(keysOf(service).dlq)).toBe(5);
    isReady = true;
    await waitFor(() => told.length >= 5, { description: 'all were told' });
    await waitFor(async () => (await redis.xpending(keysOf(service).dlq, 'handlers'))[0] === 0, {
      description: 'and acknowledged',
    });
    await produce(['f']);
    expect(await redis.xlen(keysOf(service).dlq)).toBeLessThanOrEqual(3);
    const { items } = await instance.service.deadLetters.list();
    expect(items.map(({ dataStream }) => dataStream)).toEqual(['d', 'e', 'f']);
    expect(await redis.hlen(`${keysOf(service).dlq}:index`)).toBe(3);
  });

  it('is kept without a cap where dlqMaxLen is 0, also beyond the default', async () => {
    const service = freshService();
    const { dlq } = keysOf(service);
    await redis.eval(`for i = 1, 10005 do redis.call('XADD', KEYS[1], '*', 'stream', 'older') end`, 1, dlq);
    const instance = await start({
      service,
      handle: () => Promise.reject(new Error('no')),
      options: { recovery: { maxRetries: 0, dlqMaxLen: 0 } },
    });
    for (const name of ['a', 'b', 'c']) await instance.service.produce(name);
    await waitFor(() => instance.eventsOf('deadLettered').length === 3, { description: 'all were given up' });
    expect(await redis.xlen(dlq)).toBe(10_008);
  });

  it('is listed page by page over all partitions', async () => {
    const instance = await start({
      service: freshService(),
      handle: () => Promise.reject(new Error('no')),
      options: { partitions: 3, recovery: { maxRetries: 0 } },
    });
    for (let i = 0; i < 10; i++) await instance.service.produce(`s${i}`);
    await waitFor(async () => (await instance.service.stats()).dead === 10, { description: 'all were given up' });
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await instance.service.deadLetters.list({ limit: 3, ...(cursor === undefined ? {} : { cursor }) });
      expect(page.items.length).toBeLessThanOrEqual(3);
      seen.push(...page.items.map(({ dataStream }) => dataStream));
      cursor = page.cursor;
    } while (cursor !== undefined);
    expect(seen.sort()).toEqual(Array.from({ length: 10 }, (_, i) => `s${i}`));
    await expect(instance.service.deadLetters.list({ cursor: 'nonsense' })).rejects.toMatchObject({
      code: 'HANDOFF_INVALID',
    });
    await expect(instance.service.deadLetters.list({ limit: 0 })).rejects.toMatchObject({ code: 'HANDOFF_INVALID' });
    expect(await instance.service.deadLetters.get('unknown')).toBeUndefined();
  });

  const POISON: readonly (readonly [string, readonly (string | Buffer)[], string])[] = [
    ['no data stream', ['foo', 'bar'], 'no data stream'],
    ['an empty name', ['stream', ''], 'no data stream'],
    [
      'a name above 1 KiB',
      ['stream', 'x'.repeat(1025)],
      "the data stream's name must have at most 1024 bytes, not 1025",
    ],
    [
      'a name that is no text',
      ['stream', Buffer.from([0x78, 0xff])],
      "the data stream's name must be well-formed Unicode",
    ],
    ['an info that is no JSON', ['stream', 'x', 'info', '{'], 'info is not JSON'],
    ['an empty info', ['stream', 'x', 'info', ''], 'info is not JSON'],
    ['a second info, the first being no JSON', ['stream', 'x', 'info', 'no', 'info', '1'], 'info is not JSON'],
    [
      'hundreds of fields',
      ['stream', 'x', ...Array.from({ length: 10_000 }, (_, i) => `f${i}`)],
      'more than 100 fields',
    ],
  ];

  it.each(POISON)(
    'is an entry with %s, on first sight, with its reason, and the reader goes on (R6)',
    async (_what, fields, reason) => {
      const service = freshService();
      const seen: string[] = [];
      const told: string[] = [];
      const instance = await start({
        service,
        handle: async ({ dataStream }) => void seen.push(dataStream),
        onDeadLetter: async ({ handoffId }) => void told.push(handoffId),
      });
      const id = (await redis.xadd(keysOf(service).stream, '*', ...fields)) ?? '';
      await instance.service.produce('good');
      await waitFor(() => seen.includes('good'), { description: 'the next entry was read' });
      const dead = await waitFor(() => instance.service.deadLetters.get(id), { description: 'it was set aside' });
      expect(dead).toMatchObject({ isHandled: true, dataStream: '', attempts: 0 });
      expect(dead.reason).toBe(`unparseable: ${reason}`);
      await waitFor(async () => (await instance.service.stats()).pending === 0, { description: 'nothing is pending' });
      expect(seen).toEqual(['good']);
      expect(told).toEqual([]);
    },
  );

  it('is an entry in a partition that is not its data stream’s', async () => {
    const service = freshService();
    const seen: string[] = [];
    const instance = await start({
      service,
      handle: async ({ dataStream }) => void seen.push(dataStream),
      options: { partitions: 2 },
    });
    for (const p of [0, 1]) await redis.xadd(keysOf(service, p, 2).stream, '*', 'stream', 'x');
    await waitFor(() => seen.length === 1, { description: 'one was taken' });
    await waitFor(async () => (await instance.service.stats()).dead === 1, { description: 'one was set aside' });
    expect(seen).toEqual(['x']);
  });

  it('is a malformed entry that was pending when the process started: it does not stop the start (InitContinuesWhenRecoverUnackedLBSFails)', async () => {
    const service = freshService();
    const { stream } = keysOf(service);
    await redis.xadd(stream, '*', 'foo', 'bar');
    await redis.xgroup('CREATE', stream, 'owners', '0');
    await redis.call('XREADGROUP', 'GROUP', 'owners', 'ghost', 'STREAMS', stream, '>');
    const seen: string[] = [];
    const instance = await start({ service, handle: async ({ dataStream }) => void seen.push(dataStream) });
    await instance.service.produce('good');
    await waitFor(() => seen.includes('good'), { description: 'the good one ran' });
    await waitFor(async () => (await instance.service.stats()).dead === 1, {
      description: 'the malformed one was set aside',
    });
  });

  it('cannot be written while its key holds something else: the hand-off stays where it was', async () => {
    const service = freshService();
    await redis.set(keysOf(service).dlq, 'not a stream');
    const instance = await start({
      service,
      handle: () => Promise.reject(new Error('no')),
      options: { recovery: { maxRetries: 0 } },
    });
    const id = await instance.service.produce('x');
    await waitFor(() => instance.eventsOf('acquired').length === 1, { description: 'it was tried' });
    await waitFor(async () => (await redis.xlen(keysOf(service).stream)) === 1, { description: 'it is still there' });
    await redis.del(keysOf(service).dlq);
    await waitFor(() => instance.service.deadLetters.get(id), { description: 'it was given up at last' });
    expect(await redis.xlen(keysOf(service).stream)).toBe(0);
  });

  it('is told while another one never returns', async () => {
    const hung = new Gate();
    const told = new Set<string>();
    const instance = await start({
      service: freshService(),
      concurrency: 30,
      handle: () => Promise.reject(new Error('no')),
      onDeadLetter: async ({ dataStream }) => {
        if (dataStream === 'hangs') return hung.pass();
        told.add(dataStream);
      },
      options: { recovery: { maxRetries: 0 } },
    });
    await instance.service.produce('hangs');
    await hung.arrived();
    for (let i = 0; i < 25; i++) await instance.service.produce(`s${i}`);
    await waitFor(() => told.size === 25, { description: 'all others are told' });
    hung.open();
  });

  it('is told also where ten others never return: they lose their places, and their signals abort', async () => {
    const never = new Gate();
    const signals: AbortSignal[] = [];
    const told = new Set<string>();
    const instance = await start({
      service: freshService(),
      concurrency: 30,
      handle: () => Promise.reject(new Error('no')),
      onDeadLetter: async ({ dataStream, signal }) => {
        if (dataStream !== 'waits') {
          signals.push(signal);
          return never.pass();
        }
        told.add(dataStream);
      },
      options: { recovery: { maxRetries: 0 } },
    });
    for (let i = 0; i < 10; i++) await instance.service.produce(`hangs-${i}`);
    await never.arrived(10);
    await instance.service.produce('waits');
    await waitFor(() => told.size === 1, { description: 'the last one is told', timeoutMs: 60_000 });
    expect(signals.slice(0, 10).some(({ aborted }) => aborted)).toBe(true);
    never.open();
  }, 70_000);
});
