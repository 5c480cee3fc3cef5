import type { Handoff } from '@nest-baton/redis-reconcile';
import { Gate, waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { freshService, keysOf, openRedis, ownAsGhost, startInstances } from './support/instance.js';
import { keysLeft, OneOwner, repartitionWhole } from './support/watching/one-owner.js';

describe('the number of partitions', () => {
  const start = startInstances();
  let redis: Redis;
  beforeAll(() => {
    redis = openRedis();
  });
  afterAll(() => redis.disconnect());

  const names = (count: number) => Array.from({ length: count }, (_, i) => `s${i}`);
  const of = (partitions: number, others = {}) => ({ partitions, ...others });

  it('is changed with work in the streams: all of it is moved, and done once', async () => {
    const service = freshService();
    const before = await start({ service, options: of(2) });
    const ids: string[] = [];
    for (const name of names(130)) ids.push(await before.service.produce(name, { info: { of: name } }));
    expect(await before.service.repartition(5)).toEqual({
      ...{ from: 2, to: 5, moved: 130, movedDeadLetters: 0, stillOwned: 0, left: 0, isDone: true },
    });
    const seen: Handoff[] = [];
    const after = await start({ service, options: of(5), handle: async (handoff) => void seen.push(handoff) });
    await waitFor(() => after.eventsOf('done').length === 130, { description: 'all to be done' });
    expect(seen.map(({ handoffId }) => handoffId).toSorted()).toEqual(ids.toSorted());
    expect(seen.every(({ attempt, dataStream, info }) => attempt === 1 && (info as { of: string }).of === dataStream));
    expect(await keysLeft(redis, service, 2)).toEqual([]);
  });

  it('is changed while owners work: they go on and finish, and whatever comes for their data streams waits for them', async () => {
    const service = freshService();
    const gate = new Gate();
    const one = new OneOwner();
    const before = await start({ service, handle: (handoff) => one.watch(handoff, () => gate.pass()) });
    const first = await before.service.produce('a');
    await gate.arrived();
    const second = await before.service.produce('a');
    await waitFor(async () => (await before.service.stats()).waiting === 1, { description: 'the second to wait' });
    expect(await before.service.repartition(3)).toMatchObject({ stillOwned: 1, isDone: false });
    const after = await start({
      service,
      options: of(3),
      handle: (handoff) => one.watch(handoff, async () => undefined),
    });
    const third = await after.service.produce('a');
    const other = await after.service.produce('b');
    await waitFor(() => one.finished.includes(other), { description: 'work for others to go on' });
    // Longer than a lease: it is renewed.
    await waitFor(() => after.eventsOf('scanned').length > 12, { description: 'many looks' });
    expect(one.finished).toEqual([other]);
    expect(await after.service.stats()).toMatchObject({ waiting: 2, pending: 1 });
    gate.open();
    await waitFor(() => one.finished.length === 4, { description: 'all to be done' });
    expect(one.finished.toSorted()).toEqual([first, second, third, other].toSorted());
    expect(one.problems).toEqual([]);
    expect(before.eventsOf('lost')).toEqual([]);
    await waitFor(() => after.eventsOf('repartitioned').length === 1, {
      description: 'the end, without a further call',
    });
    expect(await keysLeft(redis, service, 1)).toEqual([]);
    expect(await redis.hlen(keysOf(service, 0, 3).owned)).toBe(0);
  });

  it('is refused to whoever runs with the old one: it hands off nothing, takes nothing, does not start, and says why', async () => {
    const service = freshService();
    const gate = new Gate();
    const before = await start({ service, concurrency: 2, handle: () => gate.pass() });
    const producer = await start({ service });
    await producer.service.produce('a');
    await gate.arrived();
    await producer.service.repartition(2);
    const refused = {
      code: 'PARTITIONS_MISMATCH',
      retryable: false,
      message: expect.stringMatching(/partitions set to 2/),
    };
    await expect(producer.service.produce('b')).rejects.toMatchObject(refused);
    await expect(producer.service.produce('b', { dedupeId: 'x' })).rejects.toMatchObject(refused);
    await expect(start({ service })).rejects.toMatchObject({
      code: 'PARTITIONS_MISMATCH',
      message: expect.stringMatching(/has 2 partitions and cannot run with 1: set partitions to 2/),
    });
    for (const one of [before, producer])
      expect(await one.service.health()).toMatchObject({ state: 'down', reason: 'repartitioned' });
    // By hand, under the old number: a worker of that reads it, and is refused.
    await redis.xadd(keysOf(service).stream, '*', 'stream', 'by-hand');
    await waitFor(async () => (await redis.xpending(keysOf(service).stream, 'owners'))[0] === 2, {
      description: 'it to be read',
      timeoutMs: 10_000,
    });
    expect(before.eventsOf('acquired')).toHaveLength(1);
    expect(await before.service.repartition(2)).toMatchObject({ moved: 1, stillOwned: 1 });
    gate.open();
    await waitFor(() => before.eventsOf('done').length === 1, { description: 'the owner to finish' });
    const seen: string[] = [];
    await start({ service, options: of(2), handle: async ({ dataStream }) => void seen.push(dataStream) });
    await waitFor(() => seen.length === 1, { description: 'what was added by hand' });
    expect(seen).toEqual(['by-hand']);
  });

  it('is changed with dead owners, back-offs and dead letters: attempts, fences and what was told are kept', async () => {
    const service = freshService();
    const told: string[] = [];
    const options = of(2, { recovery: { maxRetries: 1 }, nackBackoff: { base: 1500, cap: 1500 } });
    const before = await start({
      service,
      options,
      handle: ({ dataStream, attempt }) => Promise.reject(new Error(`${dataStream} ${attempt}`)),
      onDeadLetter: async ({ dataStream }) => void told.push(dataStream),
    });
    const dead = await before.service.produce('dead');
    await waitFor(() => before.eventsOf('deadLetterHandled').length === 1, {
      description: 'it to be told',
      timeoutMs: 10_000,
    });
    await before.service.produce('refused');
    await waitFor(() => before.eventsOf('nacked').length === 2, { description: 'the back-off to begin' });
    const letter = await before.service.deadLetters.get(dead);
    await before.close();
    const operator = await start({ service, options });
    await operator.service.produce('orphan');
    for (const p of [0, 1]) await ownAsGhost(redis, service, 1, 0, keysOf(service, p, 2));
    await operator.service.repartition(3);
    const seen: Handoff[] = [];
    const after = await start({
      service,
      options: { ...options, partitions: 3 },
      handle: async (handoff) => void seen.push(handoff),
      onDeadLetter: async ({ dataStream }) => void told.push(dataStream),
    });
    await waitFor(() => seen.length === 2 && after.eventsOf('repartitioned').length === 1, {
      description: 'both to come back',
      timeoutMs: 20_000,
    });
    expect(seen.map(({ dataStream, attempt }) => `${dataStream} ${attempt}`).toSorted()).toEqual([
      'orphan 2',
      'refused 2',
    ]);
    expect(await after.service.deadLetters.get(dead)).toEqual({ ...letter, isHandled: true });
    expect(told).toEqual(['dead']);
    // It may be handed off again, with a fence above the one it was told with.
    await after.service.deadLetters.redrive(dead);
    await waitFor(() => seen.length === 3, { description: 'it to be redriven' });
    expect(seen[2]).toMatchObject({ dataStream: 'dead', attempt: 1 });
    expect(seen[2]?.fence).toBeGreaterThan(letter?.fence ?? Infinity);
    expect(await keysLeft(redis, service, 2)).toEqual([]);
  });

  it('is changed with an untold dead letter: whoever has handlers afterwards is told', async () => {
    const service = freshService();
    const options = { recovery: { maxRetries: 0 } };
    const before = await start({ service, options, handle: () => Promise.reject(new Error('never')) });
    await before.service.produce('dead');
    await waitFor(() => before.eventsOf('deadLettered').length === 1, { description: 'it to be given up' });
    expect(await before.service.repartition(2)).toMatchObject({ movedDeadLetters: 1, isDone: true });
    const told: string[] = [];
    await start({
      service,
      options: of(2),
      handle: async () => undefined,
      onDeadLetter: async ({ dataStream }) => void told.push(dataStream),
    });
    await waitFor(() => told.length === 1, { description: 'it to be told' });
    expect(told).toEqual(['dead']);
  });

  it('is no way around a dedupe id: one that was used before counts afterwards', async () => {
    const service = freshService();
    const before = await start({ service });
    const id = await before.service.produce('a', { dedupeId: 'once' });
    await before.service.repartition(4);
    const after = await start({ service, options: of(4) });
    expect(await after.service.produce('a', { dedupeId: 'once' })).toBe(id);
    expect(await after.service.produce('a', { dedupeId: 'once', waitReplicas: 0 })).toBe(id);
    expect(await after.service.produce('a', { dedupeId: 'twice' })).not.toBe(id);
    expect(await after.service.stats()).toMatchObject({ queued: 2 });
  });

  it('is changed again and again, back to what it was too; the same number again is no change', async () => {
    const service = freshService();
    let current = 3;
    const producer = await start({ service, options: of(current) });
    expect(await producer.service.repartition(3)).toMatchObject({ from: 3, to: 3, moved: 0, isDone: true });
    const ids = [await producer.service.produce('a')];
    for (const next of [1, 4, 3, 1]) {
      const before = await start({ service, options: of(current) });
      await before.service.repartition(next);
      expect(await before.service.repartition(next)).toMatchObject({ from: current, to: next, moved: 0, isDone: true });
      const after = await start({ service, options: of(next) });
      ids.push(await after.service.produce(`n${next}`));
      expect(await after.service.stats()).toMatchObject({ queued: ids.length });
      current = next;
    }
    const seen: string[] = [];
    await start({ service, options: of(1), handle: async ({ handoffId }) => void seen.push(handoffId) });
    await waitFor(() => seen.length === ids.length, { description: 'all to be done' });
    expect(seen.toSorted()).toEqual(ids.toSorted());
  });

  it('is not changed to two others at once, nor to what is no number of partitions', async () => {
    const service = freshService();
    const gate = new Gate();
    const before = await start({ service, handle: () => gate.pass() });
    await before.service.produce('a');
    await gate.arrived();
    await before.service.repartition(2);
    await expect(before.service.repartition(3)).rejects.toMatchObject({
      code: 'REPARTITION_IN_PROGRESS',
      retryable: true,
    });
    for (const wrong of [0, 1.5, 1025, NaN, '2' as never])
      await expect(before.service.repartition(wrong)).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
    gate.open();
    await repartitionWhole(before, 2);
    await before.close();
    await expect(before.service.repartition(2)).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    const after = await start({ service, options: of(2) });
    expect(await after.service.repartition(3)).toMatchObject({ from: 2, to: 3, isDone: true });
  });

  it('leaves entries as they are, byte by byte, and those that nobody can read go to the dead letters of their new partition', async () => {
    const service = freshService();
    const before = await start({ service, options: of(2) });
    const { stream } = keysOf(service, 1, 2);
    const bytes = Buffer.from([0, 255, 254, 128, 10]);
    await redis.xadd(stream, '*', 'stream', 'a', 'mine', bytes);
    await redis.xadd(stream, '*', 'no', 'name');
    await before.service.repartition(1);
    const [entry] = await redis.xrangeBuffer(keysOf(service).stream, '-', '+');
    expect(entry?.[1].map(String)).toContain('mine');
    expect(entry?.[1].some((field) => field.equals(bytes))).toBe(true);
    const seen: string[] = [];
    const after = await start({ service, handle: async ({ dataStream }) => void seen.push(dataStream) });
    await waitFor(() => seen.length === 1 && after.eventsOf('deadLettered').length === 1, { description: 'both' });
    expect(after.eventsOf('deadLettered')).toMatchObject([{ reason: 'unparseable: no data stream' }]);
  });

  it('is changed under load: no data stream has two owners, nothing is lost, and every owner finishes', async () => {
    const service = freshService();
    const one = new OneOwner();
    const work = (handoff: Handoff) => one.watch(handoff, () => new Promise((resolve) => setTimeout(resolve, 20)));
    const recovery = { interval: 100 };
    const ids: string[] = [];
    let current = 2;
    let workers = await Promise.all(
      [1, 2].map(() => start({ service, concurrency: 10, options: of(2, { recovery }), handle: work })),
    );
    let isOver = false;
    const load = async (seed: number) => {
      for (let i = 0; !isOver; i++) {
        const [{ service: target } = { service: undefined }] = workers;
        // Refused while the number changes: again, with whoever runs by then.
        const id = await target?.produce(`s${(i * 7 + seed) % 23}`).catch(() => undefined);
        if (id !== undefined) ids.push(id);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    const loads = [load(0), load(3), load(11)];
    for (const next of [5, 1, 3]) {
      await waitFor(() => one.finished.length > ids.length / 2 && ids.length > 40, { description: 'some work' });
      // Two at once, from processes that work.
      await Promise.all(workers.map(({ service: target }) => target.repartition(next)));
      const before = workers;
      workers = await Promise.all(
        [1, 2].map(() => start({ service, concurrency: 10, options: of(next, { recovery }), handle: work })),
      );
      await Promise.all(before.map((worker) => worker.close()));
      await waitFor(async () => (await workers[0]?.service.repartition(next))?.isDone, {
        description: `the change from ${current} to ${next} to end`,
        timeoutMs: 30_000,
      });
      current = next;
    }
    isOver = true;
    await Promise.all(loads);
    await waitFor(() => new Set(one.finished).size >= ids.length, { description: 'all to be done', timeoutMs: 30_000 });
    expect(one.problems).toEqual([]);
    expect(new Set(one.finished)).toEqual(new Set(ids));
    await waitFor(async () => (await workers[0]?.service.stats())?.pending === 0, { description: 'the last words' });
    expect(await workers[0]?.service.stats()).toMatchObject({ queued: 0, pending: 0, waiting: 0, dead: 0 });
  });
});
