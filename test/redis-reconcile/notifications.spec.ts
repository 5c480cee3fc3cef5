import type { Handoff, HandoffNotification } from '@nest-baton/redis-reconcile';
import { sharedRedisUrl, waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { HookedRedis } from './support/hooked-redis.js';
import { freshService, keysOf, openRedis, startInstances } from './support/instance.js';
import { pull } from './support/pulling.js';

describe('notifications', () => {
  const start = startInstances();
  let redis: Redis;

  beforeAll(() => {
    redis = openRedis();
  });
  afterAll(() => redis.disconnect());

  const two = async () => {
    const service = freshService();
    return { name: service, a: await start({ service }), b: await start({ service }) };
  };

  it('are shared by two consumers, echo the info, and end with the application (LBS)', async () => {
    const { a, b } = await two();
    const [first, second] = [pull(a.service, 1), pull(b.service, 1)];
    await a.service.produce('one', { info: { n: 1 } });
    await a.service.produce('two', { info: { n: 2 } });
    await Promise.all([first.until('StreamAdded'), second.until('StreamAdded')]);
    const both = [...first.added, ...second.added].map(({ dataStream, info, attempt }) => ({
      dataStream,
      info,
      attempt,
    }));
    expect(both).toHaveLength(2);
    expect(both).toEqual(
      expect.arrayContaining([
        { dataStream: 'one', info: { n: 1 }, attempt: 1 },
        { dataStream: 'two', info: { n: 2 }, attempt: 1 },
      ]),
    );
    for (const [instance, { added }] of [
      [a, first],
      [b, second],
    ] as const)
      await instance.service.doneStream(added[0] as Handoff);
    await waitFor(async () => (await a.service.stats()).pending === 0, { description: 'all is done' });
    await a.close();
    await first.ended;
    expect(first.told.map(({ type }) => type)).toEqual(['StreamAdded', 'StreamTerminated']);
    expect(first.told[1]).toMatchObject({ reason: 'shutdown', error: undefined });
    expect(a.eventsOf('stopped')).toMatchObject([{ released: 0, releasedWhileRunning: [], abandoned: [] }]);
  });

  it('read and scan nothing before the first pull', async () => {
    const name = freshService();
    const { service } = await start({ service: name });
    const notifications = service.notifications({ concurrency: 1 });
    await service.produce('x');
    await service.stats();
    expect(await redis.xinfo('GROUPS', keysOf(name).stream)).toEqual([]);
    expect(await service.health()).toMatchObject({ mode: 'producing' });
    expect(await notifications.next()).toMatchObject({ value: { type: 'StreamAdded', handoff: { dataStream: 'x' } } });
    await notifications.return();
  });

  it('tell of no more than the concurrency that nobody settled, and go on when one is', async () => {
    const { service } = await start({ service: freshService() });
    const consumer = pull(service, 2);
    for (let i = 0; i < 5; i++) await service.produce(`s${i}`);
    await consumer.until('StreamAdded', 2);
    expect(await service.stats()).toMatchObject({ pending: 2, owned: 2, queued: 3 });
    await service.doneStream(consumer.added[0] as Handoff);
    await consumer.until('StreamAdded', 3);
    await service.release(consumer.added[1] as Handoff);
    await consumer.until('StreamAdded', 4);
    expect(await service.stats()).toMatchObject({ pending: 2, owned: 2 });
    for (let n = 0; (await service.stats()).pending + (await service.stats()).queued > 0; n++) {
      await consumer.until('StreamAdded', n + 1);
      await service.doneStream(consumer.added[n] as Handoff).catch(() => undefined);
    }
    expect(consumer.ofType('StreamDisowned')).toEqual([]);
  });

  it('hold what was not pulled within the concurrency too, its leases renewed', async () => {
    const { service } = await start({ service: freshService() });
    const notifications = service.notifications({ concurrency: 3 });
    const first = notifications.next();
    for (let i = 0; i < 6; i++) await service.produce(`s${i}`);
    await first;
    await waitFor(async () => (await service.stats()).owned === 3, { description: 'it is full' });
    const until = performance.now() + 1500;
    await waitFor(() => performance.now() > until, { description: 'more than a lease passed' });
    expect(await service.stats()).toMatchObject({ owned: 3, pending: 3, queued: 3 });
    const { value } = (await notifications.next()) as { value: HandoffNotification };
    expect(value.type).toBe('StreamAdded');
    if (value.type === 'StreamAdded') value.handoff.assertOwned();
    await notifications.return();
  });

  it('hand back at a break what is unfinished, at once and uncounted, and may be asked for again', async () => {
    const { a, b } = await two();
    for (let i = 0; i < 4; i++) await a.service.produce(`s${i}`);
    const seen: Handoff[] = [];
    for await (const notification of a.service.notifications({ concurrency: 4 })) {
      if (notification.type === 'StreamAdded') seen.push(notification.handoff);
      if (seen.length === 2) break;
    }
    expect(seen.map(({ signal }) => signal.aborted)).toEqual([true, true]);
    expect(a.eventsOf('lost')).toEqual([]);
    await expect(a.service.doneStream(seen[0] as Handoff)).rejects.toMatchObject({ code: 'HANDOFF_NOT_OWNED' });
    const other = pull(b.service);
    await other.until('StreamAdded', 4);
    expect(other.added.map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1]);
    await a.service.produce('again');
    const again = pull(a.service);
    for (const handoff of other.added) await b.service.doneStream(handoff);
    await waitFor(() => again.added.length + other.added.length === 5, { description: 'somebody has the new one' });
  });

  it('tell of no loss on shutdown, and of nothing after the end; what nobody saw goes back (B30)', async () => {
    const { a, b } = await two();
    const notifications = a.service.notifications({ concurrency: 3 });
    const first = notifications.next();
    for (const dataStream of ['x', 'y', 'z']) await a.service.produce(dataStream);
    const added = (await first) as { value: HandoffNotification };
    await waitFor(async () => (await a.service.stats()).owned === 3, { description: 'all are owned' });
    const { handoff } = added.value as { handoff: Handoff };
    const released = new Promise<void>((resolve) =>
      handoff.signal.addEventListener('abort', () => void a.service.release(handoff).then(resolve), { once: true }),
    );
    await a.close();
    await released;
    expect(await notifications.next()).toMatchObject({ value: { type: 'StreamTerminated', reason: 'shutdown' } });
    expect(await notifications.next()).toEqual({ done: true, value: undefined });
    expect(a.eventsOf('stopped')).toEqual([{ finished: 0, released: 3, releasedWhileRunning: [], abandoned: [] }]);
    const other = pull(b.service);
    await other.until('StreamAdded', 3);
    expect(other.added.map(({ attempt }) => attempt)).toEqual([1, 1, 1]);
  });

  it('are waited for at shutdown until the timeout, then the work goes back over their heads', async () => {
    const { service, close, eventsOf } = await start({ service: freshService(), options: { shutdownTimeout: 200 } });
    const consumer = pull(service);
    await service.produce('x');
    await consumer.until('StreamAdded');
    await close();
    await consumer.ended;
    expect(eventsOf('stopped')).toMatchObject([{ released: 0, releasedWhileRunning: ['x'] }]);
  });

  it('disown what was lost, also when nobody pulls for long', async () => {
    const name = freshService();
    const { service } = await start({ service: name });
    const notifications = service.notifications({ concurrency: 3 });
    const seen: Handoff[] = [];
    for (const dataStream of ['x', 'y', 'z']) await service.produce(dataStream);
    for (let i = 0; i < 3; i++) {
      const { value } = (await notifications.next()) as { value: HandoffNotification };
      if (value.type === 'StreamAdded') seen.push(value.handoff);
    }
    await redis.hdel(keysOf(name).owned, 'x', 'y', 'z');
    await waitFor(() => seen.every(({ signal }) => signal.aborted), { description: 'all were told by their signals' });
    const told: HandoffNotification[] = [];
    while (told.filter(({ type }) => type === 'StreamDisowned').length < 3)
      told.push(((await notifications.next()) as { value: HandoffNotification }).value);
    expect(told.flatMap((one) => (one.type === 'StreamDisowned' ? [one.handoff.handoffId] : [])).sort()).toEqual(
      seen.map(({ handoffId }) => handoffId).sort(),
    );
    await expect(service.doneStream(seen[0] as Handoff)).rejects.toMatchObject({ code: 'LEASE_LOST' });
    await notifications.return();
  });

  it('never tell of work that was lost before anybody pulled', async () => {
    const name = freshService();
    const instance = await start({ service: name });
    const notifications = instance.service.notifications({ concurrency: 2 });
    const first = notifications.next();
    await instance.service.produce('seen');
    await first;
    await instance.service.produce('unseen');
    await waitFor(() => instance.eventsOf('acquired').length === 2, { description: 'both are owned' });
    await redis.hdel(keysOf(name).owned, 'unseen');
    await waitFor(() => instance.eventsOf('lost').length === 1, { description: 'one is lost' });
    const id = await instance.service.produce('next');
    const { value } = (await notifications.next()) as { value: HandoffNotification };
    expect(value).toMatchObject({ type: 'StreamAdded', handoff: { attempt: expect.any(Number) as number } });
    if (value.type === 'StreamAdded' && value.handoff.dataStream !== 'unseen') expect(value.handoff.handoffId).toBe(id);
    await notifications.return();
  });

  it('refuse a done after a release, and a second done does nothing', async () => {
    const { service } = await start({ service: freshService() });
    const consumer = pull(service);
    await service.produce('x');
    await consumer.until('StreamAdded');
    const [first] = consumer.added as [Handoff];
    await service.release('x', 'later');
    expect(first.signal.aborted).toBe(true);
    await expect(service.doneStream(first)).rejects.toMatchObject({ code: 'LEASE_LOST' });
    await consumer.until('StreamAdded', 2);
    const second = consumer.added[1] as Handoff;
    await service.doneStream(second);
    await service.doneStream(second);
    expect(await service.stats()).toMatchObject({ pending: 0, queued: 0, owned: 0 });
    expect(consumer.told.map(({ type }) => type)).toEqual(['StreamAdded', 'StreamAdded']);
  });

  it('are refused beside a handler, and beside an iterator that has not ended', async () => {
    const { service } = await start({ service: freshService(), handle: async () => undefined });
    expect(() => service.notifications({ concurrency: 1 })).toThrow(
      expect.objectContaining({ code: 'NOTIFICATIONS_TAKEN', retryable: false }) as Error,
    );
    const other = await start({ service: freshService() });
    const notifications = other.service.notifications({ concurrency: 1 });
    const unused = other.service.notifications({ concurrency: 1 });
    notifications[Symbol.asyncIterator]();
    expect(() => notifications[Symbol.asyncIterator]()).toThrow('has an iterator that has not ended');
    expect(() => other.service.notifications({ concurrency: 1 })).toThrow('has an iterator that has not ended');
    await expect(unused.next()).rejects.toMatchObject({ code: 'NOTIFICATIONS_TAKEN' });
    await notifications.return();
    await notifications.return();
    expect(await notifications.next()).toEqual({ done: true, value: undefined });
    other.service.notifications({ concurrency: 1 });
  });

  it.each([0, 10_001, 1.5, undefined])('refuse a concurrency of %j', async (concurrency) => {
    const { service } = await start({ service: freshService() });
    expect(() => service.notifications({ concurrency } as { concurrency: number })).toThrow(
      expect.objectContaining({ code: 'OPTIONS_INVALID' }) as Error,
    );
  });

  it('that cannot start reject the pull with what is wrong, and end', async () => {
    const name = freshService();
    const { service } = await start({ service: name });
    await redis.hset(`{${name}}:meta`, 'partitions', 7);
    const notifications = service.notifications({ concurrency: 1 });
    await expect(notifications.next()).rejects.toMatchObject({ code: 'PARTITIONS_MISMATCH' });
    expect(await notifications.next()).toEqual({ done: true, value: undefined });
    await redis.hset(`{${name}}:meta`, 'partitions', 1);
    const again = pull(service);
    await service.produce('x');
    await again.until('StreamAdded');
  });

  it('that nobody pulled end with the application too', async () => {
    const { service, close } = await start({ service: freshService() });
    const early = service.notifications({ concurrency: 1 });
    early[Symbol.asyncIterator]();
    await close();
    expect(await early.next()).toMatchObject({ value: { type: 'StreamTerminated' } });
    expect(await early.next()).toMatchObject({ done: true });
  });

  it('go on after reads that failed, however many, and end where a limit was set (B5)', async () => {
    const name = freshService();
    const { stream } = keysOf(name);
    const patient = await start({ service: name });
    const impatient = await start({ service: name });
    const [forEver, limited] = [pull(patient.service), pull(impatient.service, 1, { maxReadFailures: 1 })];
    await waitFor(async () => ((await redis.xinfo('GROUPS', stream).catch(() => [])) as unknown[]).length === 1, {
      description: 'both read',
    });
    await redis.multi().del(stream).set(stream, 'not a stream').exec();
    expect(await limited.until('StreamTerminated')).toMatchObject({
      reason: 'read_failures',
      error: expect.objectContaining({ message: expect.stringContaining('WRONGTYPE') as string }) as unknown,
    });
    await limited.ended;
    await redis.del(stream);
    await impatient.service.produce('x');
    await forEver.until('StreamAdded');
    expect(forEver.ofType('StreamTerminated')).toEqual([]);
  });

  it('go on over a new connection after a read that never returned', async () => {
    let wedged = 0;
    const instance = new HookedRedis(sharedRedisUrl(), (name) =>
      name === 'xreadgroup' && wedged++ === 0 ? new Promise<void>(() => undefined) : undefined,
    );
    const { service } = await start({ service: freshService(), options: { connection: { instance } } });
    const consumer = pull(service);
    await service.produce('x');
    await consumer.until('StreamAdded');
    expect(wedged).toBeGreaterThan(1);
    instance.disconnect();
  });
});
