import { Gate, StallMeter, waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { aborted, freshService, keysOf, openRedis, startInstance, startInstances } from './support/instance.js';

describe('shutdown', () => {
  const start = startInstances();
  let redis: Redis;

  beforeAll(() => {
    redis = openRedis();
  });
  afterAll(() => redis.disconnect());

  it('hands unfinished work to another consumer at once, with the same attempt (R7)', async () => {
    const service = freshService();
    // Nothing else would bring it within the minute.
    const options = { lease: '60s', recovery: { interval: '1h' } } as const;
    const leaving = await start({
      service,
      options,
      concurrency: 5,
      handle: async ({ signal }) => {
        throw await aborted(signal);
      },
    });
    for (let i = 0; i < 5; i++) await leaving.service.produce(`s${i}`);
    await waitFor(() => leaving.eventsOf('acquired').length === 5, { description: 'all are owned' });
    const seen: { attempt: number; at: number }[] = [];
    const staying = await start({
      service,
      options,
      handle: async ({ attempt }) => void seen.push({ attempt, at: performance.now() }),
    });
    const at = performance.now();
    await leaving.close();
    await waitFor(() => seen.length === 5, { description: 'all came to the other one' });
    expect(Math.max(...seen.map((one) => one.at)) - at).toBeLessThan(5_000);
    expect(seen.map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1, 1]);
    expect(staying.eventsOf('requeued')).toEqual([]);
    expect(leaving.eventsOf('stopped')).toEqual([
      { finished: 0, released: 5, releasedWhileRunning: [], abandoned: [] },
    ]);
    expect(leaving.eventsOf('lost')).toEqual([]);
  });

  it('leaves no parked read behind: the next entry goes to another consumer at once', async () => {
    const service = freshService();
    const seen: string[] = [];
    const slowBlock = { block: '30s', commandTimeout: '5s' } as const;
    const staying = await start({
      service,
      options: slowBlock,
      handle: async ({ dataStream }) => void seen.push(dataStream),
    });
    for (let round = 0; round < 5; round++) {
      const leaving = await startInstance({ service, options: slowBlock, handle: async () => undefined });
      const at = performance.now();
      await leaving.close();
      expect(performance.now() - at).toBeLessThan(5_000);
      for (let i = 0; i < 3; i++) await staying.service.produce(`${round}-${i}`);
    }
    await waitFor(() => seen.length === 15, { description: 'all went to the one that stays', timeoutMs: 2000 });
    const groups = (await redis.xinfo('CONSUMERS', keysOf(service).stream, 'owners')) as string[][];
    expect(groups).toHaveLength(1);
  });

  it('lets a handler that resolves in time finish its work', async () => {
    const service = freshService();
    const leaving = await start({
      service,
      handle: async ({ signal }) => {
        await aborted(signal);
      },
    });
    await leaving.service.produce('x');
    await waitFor(() => leaving.eventsOf('acquired').length === 1, { description: 'it is owned' });
    await leaving.close();
    expect(leaving.eventsOf('done')).toHaveLength(1);
    expect(leaving.eventsOf('stopped')).toMatchObject([{ finished: 1, released: 0 }]);
    expect(await redis.xlen(keysOf(service).stream)).toBe(0);
  });

  it('hands back what does not settle in time, and says that it still runs', async () => {
    const service = freshService();
    const deaf = new Gate();
    const leaving = await start({ service, options: { shutdownTimeout: 200 }, handle: () => deaf.pass() });
    await leaving.service.produce('x');
    await deaf.arrived();
    const stalls = StallMeter.start();
    const at = performance.now();
    await leaving.close();
    expect(performance.now() - at).toBeLessThan(1500 + stalls.stop());
    expect(leaving.eventsOf('stopped')).toMatchObject([{ releasedWhileRunning: ['x'], abandoned: [] }]);
    const seen: number[] = [];
    await start({ service, handle: async ({ attempt }) => void seen.push(attempt) });
    await waitFor(() => seen.length === 1, { description: 'somebody else has it' });
    expect(seen).toEqual([1]);
    deaf.open();
  });

  it('drains: handlers finish first, nothing new is read, leases are renewed meanwhile', async () => {
    const service = freshService();
    const gate = new Gate();
    const leaving = await start({
      service,
      concurrency: 2,
      options: { shutdown: 'drain', shutdownTimeout: '10s' },
      handle: async ({ signal }) => {
        await gate.pass();
        expect(signal.aborted).toBe(false);
      },
    });
    await leaving.service.produce('a');
    await leaving.service.produce('b');
    await gate.arrived(2);
    const closed = leaving.close();
    const record = await redis.hget(keysOf(service).owned, 'a');
    const until = performance.now() + 1500;
    await waitFor(() => performance.now() > until, { description: 'more than a lease passed' });
    expect(await redis.hget(keysOf(service).owned, 'a')).toBe(record);
    expect(await redis.exists(keysOf(service).lease('a'))).toBe(1);
    gate.open();
    await closed;
    expect(leaving.eventsOf('stopped')).toMatchObject([{ finished: 2, released: 0, releasedWhileRunning: [] }]);
  });

  it('acknowledges what is unfinished where that is asked for, and reports it as abandoned (B35)', async () => {
    const service = freshService();
    const deaf = new Gate();
    const leaving = await start({
      service,
      concurrency: 3,
      options: { shutdown: 'ack-unfinished', shutdownTimeout: 300 },
      handle: async ({ dataStream, signal }) => {
        if (dataStream === 'deaf') return deaf.pass();
        const reason = await aborted(signal);
        if (dataStream === 'throws') throw reason;
      },
    });
    for (const dataStream of ['deaf', 'throws', 'finishes', 'queued']) await leaving.service.produce(dataStream);
    await waitFor(() => leaving.eventsOf('acquired').length === 3, { description: 'three are owned' });
    await leaving.close();
    const [report] = leaving.eventsOf('stopped') as [{ abandoned: string[] }];
    expect([...report.abandoned].sort()).toEqual(['deaf', 'throws']);
    expect(report).toMatchObject({ finished: 1, released: 0, releasedWhileRunning: [] });
    expect(leaving.eventsOf('abandoned')).toHaveLength(2);
    expect(leaving.eventsOf('done')).toMatchObject([{ dataStream: 'finishes' }]);
    // Nobody worked on it: it stays.
    expect(await redis.xlen(keysOf(service).stream)).toBe(1);
    deaf.open();
  });

  it('hands back what an iterator never told, also where the unfinished is acknowledged', async () => {
    const service = freshService();
    const leaving = await start({ service, options: { shutdown: 'ack-unfinished', shutdownTimeout: 200 } });
    const notifications = leaving.service.notifications({ concurrency: 2 });
    const first = notifications.next();
    await leaving.service.produce('told');
    await first;
    await leaving.service.produce('untold');
    await waitFor(() => leaving.eventsOf('acquired').length === 2, { description: 'both are owned' });
    await leaving.close();
    expect(leaving.eventsOf('stopped')).toMatchObject([{ released: 1, abandoned: ['told'] }]);
    const left = await redis.xrange(keysOf(service).stream, '-', '+');
    expect(left.map(([, fields]) => fields[fields.indexOf('stream') + 1])).toEqual(['untold']);
  });

  it('takes new hand-offs until the very end, and then says why it does not', async () => {
    const name = freshService();
    const { app, service } = await start({ service: name, handle: async () => undefined });
    await service.beforeApplicationShutdown();
    await service.produce('late');
    await app.close();
    await expect(service.produce('too late')).rejects.toMatchObject({ code: 'SHUTTING_DOWN', retryable: true });
    expect(await redis.xlen(keysOf(name).stream)).toBe(1);
  });

  it('may be asked for twice, and never closes a client that was given', async () => {
    const instance = openRedis();
    await instance.ping();
    const one = await start({
      service: freshService(),
      options: { connection: { instance } },
      handle: async () => undefined,
    });
    await one.service.beforeApplicationShutdown();
    await one.service.beforeApplicationShutdown();
    await one.close();
    expect(await instance.ping()).toBe('PONG');
    instance.disconnect();
  });

  it('leaves a dead letter whose handler does not return to somebody else', async () => {
    const service = freshService();
    const deaf = new Gate();
    const leaving = await start({
      service,
      options: { shutdownTimeout: 200, recovery: { maxRetries: 0 } },
      handle: () => Promise.reject(new Error('no')),
      onDeadLetter: () => deaf.pass(),
    });
    try {
      const id = await leaving.service.produce('x');
      await deaf.arrived();
      // The process lives on, and so does its connection.
      await leaving.service.beforeApplicationShutdown();
      const told: string[] = [];
      await start({
        service,
        handle: async () => undefined,
        onDeadLetter: async ({ handoffId }) => void told.push(handoffId),
      });
      await waitFor(() => told.length > 0, { description: 'the other one is told' });
      expect(told).toEqual([id]);
    } finally {
      deaf.open();
    }
  });

  it('releases by hand: somebody else gets it at once, the same attempt, and the handler is told', async () => {
    const service = freshService();
    const attempts: number[] = [];
    const instance = await start({
      service,
      handle: async ({ attempt, signal }) => {
        attempts.push(attempt);
        if (attempts.length === 1) throw await aborted(signal);
      },
    });
    await instance.service.produce('x');
    await waitFor(() => attempts.length === 1, { description: 'it is owned' });
    await instance.service.release('x', 'operator');
    await waitFor(() => instance.eventsOf('done').length === 1, { description: 'it is done' });
    expect(attempts).toEqual([1, 1]);
    expect(instance.eventsOf('released')).toMatchObject([{ reason: 'operator' }]);
  });
});
