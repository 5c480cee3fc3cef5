import type { DeadLetter, Handoff } from '@nest-baton/redis-reconcile';
import { Gate, sharedRedisUrl, waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { HookedRedis } from './support/hooked-redis.js';
import { freshService, type Instance, keysOf, openRedis, ownAsGhost, startInstances } from './support/instance.js';
import { pull } from './support/pulling.js';

describe('a dead letter', () => {
  const start = startInstances();
  let redis: Redis;

  beforeAll(() => {
    redis = openRedis();
  });
  afterAll(() => redis.disconnect());

  const bury = { lease: '30s', recovery: { interval: '1h', maxRetries: 0 } } as const;

  /** Hand-offs that were given up, and nobody to work on what comes back. */
  const withDead = async (names: readonly string[], options = {}): Promise<Instance & { readonly name: string }> => {
    const name = freshService();
    const instance = await start({ service: name, options: { ...bury, ...options } });
    for (const dataStream of names) await instance.service.produce(dataStream, { info: { dataStream } });
    await giveUp(name, instance, names);
    return { ...instance, name };
  };
  const giveUp = async (name: string, { service }: Instance, names: readonly string[]) => {
    await ownAsGhost(redis, name, names.length);
    for (const dataStream of names) expect(await service.claim({ dataStream })).toBe('deadLettered');
  };
  const lettersOf = async ({ service }: Instance): Promise<readonly DeadLetter[]> =>
    (await service.deadLetters.list({ limit: 1000 })).items;

  it('is handed off again under its id, as a first attempt, with a fence above the one it died with', async () => {
    const dead = await withDead(['x']);
    const [letter] = (await lettersOf(dead)) as [DeadLetter];
    await dead.service.deadLetters.redrive(letter.handoffId);
    expect(await dead.service.stats()).toMatchObject({ dead: 0, queued: 1 });
    expect(await dead.service.deadLetters.get(letter.handoffId)).toBeUndefined();
    expect(dead.eventsOf('redriven')).toEqual([{ handoffId: letter.handoffId, dataStream: 'x' }]);
    const [entry] = await redis.xrange(keysOf(dead.name).stream, '-', '+');
    for (const field of ['reason', 'attempts', 'fence', 'dead', 'entry']) expect(entry?.[1]).not.toContain(field);
    const consumer = pull(dead.service);
    await consumer.until('StreamAdded');
    const again = consumer.added[0] as Handoff;
    expect(again).toMatchObject({ handoffId: letter.handoffId, attempt: 1, info: { dataStream: 'x' } });
    expect(again.fence).toBeGreaterThan(letter.fence);
  });

  it('is redriven by one of many callers; the others are told, and so is who means nothing', async () => {
    const dead = await withDead(['x']);
    const other = await start({ service: dead.name, options: bury });
    const [letter] = (await lettersOf(dead)) as [DeadLetter];
    const outcomes = await Promise.allSettled(
      [dead, other, dead, other].map(({ service }) => service.deadLetters.redrive(letter.handoffId)),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const one of outcomes)
      if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'DEAD_LETTER_NOT_FOUND' });
    expect(await dead.service.stats()).toMatchObject({ dead: 0, queued: 1 });
    await expect(dead.service.deadLetters.redrive('nothing')).rejects.toMatchObject({ code: 'DEAD_LETTER_NOT_FOUND' });
  });

  it('is neither lost nor doubled when the answer of its redrive is lost', async () => {
    let isLost = false;
    const instance = new HookedRedis(sharedRedisUrl(), (name, _args, client) => {
      if (isLost && name === 'evalsha') setImmediate(() => client.stream.destroy());
      return undefined;
    });
    const dead = await withDead(['x'], { connection: { instance } });
    const [letter] = (await lettersOf(dead)) as [DeadLetter];
    isLost = true;
    await dead.service.deadLetters.redrive(letter.handoffId).catch(() => undefined);
    isLost = false;
    await waitFor(
      () =>
        dead.service.stats().then(
          () => true,
          () => false,
        ),
      { description: 'Redis is back' },
    );
    const { queued, dead: count } = await dead.service.stats();
    expect(queued + count).toBe(1);
    instance.disconnect();
  });

  it('that nobody can read is not handed off again, and says why', async () => {
    const name = freshService();
    const instance = await start({ service: name, options: bury });
    const id = (await redis.xadd(keysOf(name).stream, '*', 'stream', 'x', 'info', 'no JSON')) ?? '';
    const consumer = pull(instance.service);
    await waitFor(async () => (await lettersOf(instance)).length === 1, { description: 'it was set aside' });
    await expect(instance.service.deadLetters.redrive(id)).rejects.toMatchObject({ code: 'HANDOFF_INVALID' });
    expect(await instance.service.deadLetters.redriveAll()).toEqual({ redriven: 0, unreadable: 1 });
    expect(await instance.service.deadLetters.purge()).toEqual({ purged: 1, untold: 0 });
    expect(consumer.told).toEqual([]);
  });

  it('of many is redriven by filter, limit and rate, over all partitions', async () => {
    const names = Array.from({ length: 30 }, (_, i) => `s${i}`);
    const name = freshService();
    const instance = await start({
      service: name,
      options: { partitions: 3, recovery: { maxRetries: 0 } },
      handle: async ({ dataStream }) => {
        throw new Error(`no ${dataStream}`);
      },
      concurrency: 30,
    });
    for (const dataStream of names) await instance.service.produce(dataStream);
    await waitFor(async () => (await instance.service.stats()).dead === 30, { description: 'all are dead' });
    const producer = await start({ service: name, options: { partitions: 3 } });
    await instance.close();
    const { deadLetters } = producer.service;
    expect(await deadLetters.redriveAll({ dataStream: 's7' })).toEqual({ redriven: 1, unreadable: 0 });
    expect(await deadLetters.redriveAll({ reason: 'another' })).toEqual({ redriven: 0, unreadable: 0 });
    expect(await deadLetters.redriveAll({ deadBefore: new Date(0) })).toEqual({ redriven: 0, unreadable: 0 });
    expect(await deadLetters.redriveAll({ limit: 4 })).toEqual({ redriven: 4, unreadable: 0 });
    const at = performance.now();
    expect(await deadLetters.redriveAll({ limit: 10, ratePerSecond: 20 })).toEqual({ redriven: 10, unreadable: 0 });
    expect(performance.now() - at).toBeGreaterThan(350);
    expect(await deadLetters.redriveAll({ where: ({ lastError }) => lastError.startsWith('no s') })).toEqual({
      redriven: 15,
      unreadable: 0,
    });
    expect(await producer.service.stats()).toMatchObject({ dead: 0, queued: 30 });
  });

  it.each(['{a}b', 'line\nbreak', '👩‍🚀', 'a:b*?[c]', ' ', '__proto__', 'x'.repeat(1024)])(
    'may have any name: %j',
    async (dataStream) => {
      const dead = await withDead([dataStream]);
      expect(await dead.service.deadLetters.redriveAll({ dataStream })).toEqual({ redriven: 1, unreadable: 0 });
      const consumer = pull(dead.service);
      await consumer.until('StreamAdded');
      await dead.service.doneStream(dataStream);
      expect(await dead.service.stats()).toMatchObject({ queued: 0, pending: 0, dead: 0, owned: 0 });
    },
  );

  it('that dies again while all are redriven is left for the next time', async () => {
    const instance = await start({
      service: freshService(),
      options: { recovery: { maxRetries: 0 } },
      concurrency: 20,
      handle: () => Promise.reject(new Error('no')),
    });
    for (let i = 0; i < 20; i++) await instance.service.produce(`s${i}`);
    await waitFor(async () => (await instance.service.stats()).dead === 20, { description: 'all are dead' });
    expect(await instance.service.deadLetters.redriveAll()).toEqual({ redriven: 20, unreadable: 0 });
    await waitFor(async () => (await instance.service.stats()).dead === 20, { description: 'all died again' });
  });

  it('is redriven no more once the signal aborts', async () => {
    const dead = await withDead(['a', 'b', 'c']);
    const stop = new AbortController();
    dead.service.on('redriven', () => stop.abort());
    expect(await dead.service.deadLetters.redriveAll({ ratePerSecond: 0.1, signal: stop.signal })).toMatchObject({
      redriven: 1,
    });
  });

  it('is never purged before its handler has resolved, unless that is asked for by name', async () => {
    const gate = new Gate();
    const told: string[] = [];
    const name = freshService();
    const instance = await start({
      service: name,
      options: { recovery: { maxRetries: 0 } },
      handle: () => Promise.reject(new Error('no')),
      onDeadLetter: async ({ dataStream }) => {
        if (dataStream === 'slow') await gate.pass();
        told.push(dataStream);
      },
    });
    await instance.service.produce('slow');
    await gate.arrived();
    await instance.service.produce('quick');
    await waitFor(async () => (await instance.service.stats()).dead === 2, { description: 'both are dead' });
    await instance.service.deadLetters.purge();
    expect((await lettersOf(instance)).map(({ dataStream }) => dataStream)).toContain('slow');
    gate.open();
    await waitFor(async () => (await lettersOf(instance)).every(({ isHandled }) => isHandled), {
      description: 'all were told',
    });
    expect(told).toEqual(expect.arrayContaining(['slow', 'quick']));
    await instance.service.deadLetters.purge();
    expect(await instance.service.stats()).toMatchObject({ dead: 0 });
    expect(await redis.hlen(`${keysOf(name).dlq}:index`)).toBe(0);
  });

  it('that was not told goes where that is asked for, and is not told after', async () => {
    const dead = await withDead(['x', 'y']);
    const keys = keysOf(dead.name);
    await redis.xgroup('CREATE', keys.dlq, 'handlers', '0');
    expect(await dead.service.deadLetters.purge()).toEqual({ purged: 0, untold: 2 });
    await redis.call('XREADGROUP', 'GROUP', 'handlers', 'ghost', 'COUNT', 1, 'STREAMS', keys.dlq, '>');
    expect(await dead.service.deadLetters.purge()).toEqual({ purged: 0, untold: 2 });
    expect(await dead.service.deadLetters.purge({ includeUntold: true, limit: 1 })).toEqual({ purged: 1, untold: 0 });
    expect((await redis.xpending(keys.dlq, 'handlers'))[0]).toBe(0);
    expect(dead.eventsOf('purged')).toMatchObject([{ dataStream: 'x' }]);
    expect((await lettersOf(dead)).map(({ dataStream }) => dataStream)).toEqual(['y']);
  });

  it.each([
    [{ limit: 0 }, 'limit'],
    [{ ratePerSecond: 0 }, 'ratePerSecond'],
    [{ reason: 1 }, 'reason'],
    [{ deadBefore: 'yesterday' }, 'deadBefore'],
    [{ where: 'x' }, 'where'],
    [{ force: true }, 'force'],
  ])('is not changed by what is no filter: %j', async (options, name) => {
    const { service } = await start({ service: freshService(), options: bury });
    await expect(service.deadLetters.redriveAll(options as object)).rejects.toThrow(name);
  });
});
