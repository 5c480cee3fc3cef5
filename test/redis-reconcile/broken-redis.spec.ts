import type { Handoff } from '@nest-baton/redis-reconcile';
import { Gate, hintsUnderTest, StallMeter, startRedis, waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { HookedRedis } from './support/hooked-redis.js';
import { aborted, freshService, keysOf, startInstance, startInstances } from './support/instance.js';
import { useOwnRedis } from './support/own-redis.js';

describe('a Redis that breaks', () => {
  const own = useOwnRedis();
  const startOne = startInstances();

  const start = (settings: Omit<Parameters<typeof startInstance>[0], 'url'>) =>
    startOne({ url: own.server.url, ...settings });

  it('was flushed: owners learn that they lost, new work runs, and fences still grow', async () => {
    const service = freshService();
    const lost = new Gate();
    const seen: Handoff[] = [];
    const instance = await start({
      service,
      handle: async (handoff) => {
        seen.push(handoff);
        if (seen.length > 1) return;
        const reason = await aborted(handoff.signal);
        lost.open();
        throw reason;
      },
    });
    await instance.service.produce('x');
    await waitFor(() => seen.length === 1, { description: 'it is owned' });
    const stalls = StallMeter.start();
    const at = performance.now();
    await own.redis.flushall();
    await lost.pass();
    expect(performance.now() - at).toBeLessThan(1000 + stalls.stop());
    expect(instance.eventsOf('lost')).toHaveLength(1);
    await instance.service.produce('x');
    await waitFor(() => instance.eventsOf('done').length === 1, { description: 'new work runs' });
    expect(seen[1]?.fence).toBeGreaterThan(seen[0]?.fence ?? Infinity);
    await waitFor(() => own.redis.hget(`{${service}}:meta`, 'partitions'), {
      description: 'the partitions are stored again',
    });
  });

  it('lost the group: it is made again, nothing is lost, and a live owner is not robbed', async () => {
    const service = freshService();
    const gate = new Gate();
    const seen: string[] = [];
    const instance = await start({
      service,
      handle: async ({ dataStream }) => {
        seen.push(dataStream);
        if (dataStream === 'slow') await gate.pass();
      },
    });
    await instance.service.produce('slow');
    await gate.arrived();
    await own.redis.xgroup('DESTROY', keysOf(service).stream, 'owners');
    await instance.service.produce('next');
    await waitFor(() => seen.includes('next'), { description: 'reading goes on' });
    const scans = instance.eventsOf('scanned').length;
    await waitFor(() => instance.eventsOf('scanned').length > scans + 8, { description: 'more than a lease of looks' });
    expect(seen).toEqual(['slow', 'next']);
    expect(instance.eventsOf('lost')).toEqual([]);
    gate.open();
    await waitFor(() => instance.eventsOf('done').length === 2, { description: 'both are done' });
    expect(await own.redis.xlen(keysOf(service).stream)).toBe(0);
  });

  it('lost the whole stream: a live owner finishes, and new work runs', async () => {
    const service = freshService();
    const gate = new Gate();
    const instance = await start({
      service,
      handle: async ({ dataStream }) => (dataStream === 'slow' ? gate.pass() : undefined),
    });
    await instance.service.produce('slow');
    await gate.arrived();
    await own.redis.del(keysOf(service).stream);
    await instance.service.produce('next');
    await waitFor(() => instance.eventsOf('done').length === 1, { description: 'the new one is done' });
    gate.open();
    await waitFor(() => instance.eventsOf('done').length === 2, { description: 'the old one is done' });
    expect(await own.redis.hlen(keysOf(service).owned)).toBe(0);
  });

  it('has something else in place of the stream: produce says so, and work goes on when it is gone', async () => {
    const service = freshService();
    const { stream, owned } = keysOf(service);
    const gate = new Gate();
    const seen: string[] = [];
    const instance = await start({
      service,
      handle: async ({ dataStream }) => {
        seen.push(dataStream);
        if (dataStream === 'slow') await gate.pass();
      },
    });
    await instance.service.produce('slow');
    await gate.arrived();
    await own.redis.set(stream, 'not a stream');
    await expect(instance.service.produce('refused')).rejects.toThrow('WRONGTYPE');
    gate.open();
    expect(await own.redis.get(stream)).toBe('not a stream');
    await own.redis.del(stream);
    await instance.service.produce('next');
    await waitFor(() => instance.eventsOf('done').length === 2, { description: 'both are done' });
    expect(seen).toEqual(['slow', 'next']);
    expect(await own.redis.hlen(owned)).toBe(0);
  });

  it('was away while many calls waited for it: all go on when it is back, and add no listener each', async () => {
    const clients = new Set<Redis>();
    const hooked = new HookedRedis(own.server.url, (_name, _args, client) => void clients.add(client));
    const instance = await start({
      service: freshService(),
      options: { connection: { instance: hooked }, commandTimeout: '10s' },
    });
    const [client] = clients;
    const before = client?.listenerCount('ready');
    await own.server.kill();
    await waitFor(() => client?.status !== 'ready', { description: 'the loss to be noticed' });
    const calls = Array.from({ length: 50 }, (_, i) => instance.service.produce(`s${i}`));
    expect(client?.listenerCount('ready')).toBe(before);
    await own.server.restart();
    await Promise.all(calls);
    expect(await instance.service.stats()).toMatchObject({ queued: 50 });
    hooked.disconnect();
  });

  it('froze for longer than the lease: owners stop by their own clock, nobody is counted as crashed', async () => {
    const service = freshService();
    const attempts: number[] = [];
    const abortedAfter: number[] = [];
    const settings = {
      service,
      options: { commandTimeout: 300 },
      handle: async ({ attempt, signal }: Handoff) => {
        attempts.push(attempt);
        if (attempts.length > 1) return;
        const at = performance.now();
        const reason = await aborted(signal);
        abortedAfter.push(performance.now() - at);
        throw reason;
      },
    };
    const one = await start(settings);
    const two = await start(settings);
    await one.service.produce('x');
    await waitFor(() => attempts.length === 1, { description: 'it is owned' });
    const stalls = StallMeter.start();
    own.server.freeze();
    await waitFor(() => abortedAfter.length === 1, { description: 'the owner gave up by its own clock' });
    expect(abortedAfter[0]).toBeLessThan(2500 + stalls.stop());
    await expect(one.service.produce('y')).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE', retryable: true });
    expect(await one.service.health()).toMatchObject({ state: 'down', reason: 'redis' });
    own.server.thaw();
    await waitFor(() => one.eventsOf('done').length + two.eventsOf('done').length >= 1, {
      description: 'work goes on after the thaw',
      timeoutMs: 15_000,
    });
    expect(attempts.slice(0, 2)).toEqual([1, 1]);
    expect([...one.eventsOf('requeued'), ...two.eventsOf('requeued')].filter(({ cause }) => cause === 'crash')).toEqual(
      [],
    );
  });

  it('answered while our process stood still: what is there in the socket is read before anything counts as late', async () => {
    const { service } = await start({ service: freshService(), options: { commandTimeout: 300 } });
    await service.produce('warm');
    // For longer than a command may take, and for longer than a connection may be silent.
    for (const ms of [600, 1500, 600]) {
      const call = service.produce(`x${ms}`);
      // It is sent in this turn of the loop; then nothing runs here.
      for (let n = 0; n < 100; n++) await Promise.resolve();
      const until = performance.now() + ms;
      while (performance.now() < until);
      expect(await call).toEqual(expect.any(String));
    }
    expect(await service.stats()).toMatchObject({ queued: 4 });
  });

  it('froze for longer than the lease: scanners wait until owners could hand back, also when a handler does not listen', async () => {
    const service = freshService();
    const deaf = new Gate();
    const attempts: number[] = [];
    const settings = {
      service,
      concurrency: 1,
      options: { commandTimeout: 300, lease: '2s' } as const,
      handle: async ({ attempt }: Handoff) => {
        attempts.push(attempt);
        if (attempts.length === 1) await deaf.pass();
      },
    };
    const one = await start(settings);
    await one.service.produce('x');
    await deaf.arrived();
    const two = await start(settings);
    own.server.freeze();
    await waitFor(() => one.eventsOf('lost').length === 1, { description: 'the owner gave up by its own clock' });
    own.server.thaw();
    await waitFor(() => attempts.length === 2, { description: 'the other one has it' });
    expect(attempts).toEqual([1, 1]);
    expect(two.eventsOf('requeued')).toEqual([]);
    deaf.open();
  });

  it('was restarted empty: readers, scripts and subscriptions come back by themselves', async () => {
    const service = freshService();
    const seen: string[] = [];
    const instance = await start({
      service,
      options: { keyspaceEvents: 'auto' },
      handle: async ({ dataStream }) => void seen.push(dataStream),
    });
    await instance.service.produce('before');
    await waitFor(() => seen.length === 1, { description: 'it works' });
    const usual = { state: 'up', mode: hintsUnderTest() === 'on' ? 'listening' : 'scanning' };
    expect(await instance.service.health()).toEqual(usual);
    await own.server.restart();
    await waitFor(
      async () => {
        await instance.service.produce('after', { dedupeId: 'after' }).catch(() => undefined);
        return seen.includes('after');
      },
      { description: 'it works again' },
    );
    await waitFor(async () => (await instance.service.health()).state === 'up', {
      description: 'events are covered again',
    });
  });

  it('is away: produce fails in bounded time with an error that can be retried', async () => {
    const mine = await startRedis({ exclusive: true });
    const instance = await startInstance({ url: mine.url, service: freshService() });
    await mine.kill();
    const stalls = StallMeter.start();
    const at = performance.now();
    await expect(instance.service.produce('x')).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE', retryable: true });
    expect(performance.now() - at).toBeLessThan(1500 + stalls.stop());
    expect(await instance.service.health()).toMatchObject({ state: 'down', reason: 'redis' });
    await mine.restart();
    await waitFor(() => instance.service.produce('x').catch(() => undefined), { description: 'produce works again' });
    await instance.close();
    await mine.stop();
  });

  it('is away at shutdown: it ends in bounded time and reports what it could not hand back', async () => {
    const mine = await startRedis({ exclusive: true });
    const deaf = new Gate();
    const instance = await startInstance({
      url: mine.url,
      service: freshService(),
      options: { shutdownTimeout: 300, commandTimeout: 300 },
      handle: () => deaf.pass(),
    });
    await instance.service.produce('x');
    await deaf.arrived();
    await mine.kill();
    const at = performance.now();
    await instance.close();
    expect(performance.now() - at).toBeLessThan(4000);
    expect(instance.eventsOf('stopped')).toMatchObject([{ abandoned: ['x'], releasedWhileRunning: [] }]);
    deaf.open();
    await mine.stop();
  });
});
