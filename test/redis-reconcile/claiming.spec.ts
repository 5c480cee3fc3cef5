import type { Handoff } from '@nest-baton/redis-reconcile';
import { Gate, sharedRedisUrl, waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { HookedRedis } from './support/hooked-redis.js';
import { freshService, openRedis, ownAsGhost, startInstances } from './support/instance.js';
import { pull } from './support/pulling.js';

describe('claiming', () => {
  const start = startInstances();
  let redis: Redis;

  beforeAll(() => {
    redis = openRedis();
  });
  afterAll(() => redis.disconnect());

  const claimed = { code: 'HANDOFF_ALREADY_CLAIMED', retryable: false };
  const patient = { lease: '30s', recovery: { interval: '1h' } } as const;

  it('an orphan works only once, and whoever reads next gets it (ClaimWorksOnlyOnce)', async () => {
    const service = freshService();
    const instances = await Promise.all(Array.from({ length: 5 }, () => start({ service, options: patient })));
    const [first] = instances as [(typeof instances)[0]];
    const id = await first.service.produce('x', { info: { n: 1 } });
    await ownAsGhost(redis, service, 1);
    const outcomes = await Promise.allSettled(instances.map((one) => one.service.claim({ dataStream: 'x' })));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toMatchObject([{ value: 'requeued' }]);
    for (const one of outcomes) if (one.status === 'rejected') expect(one.reason).toMatchObject(claimed);
    // Nobody owns it by that.
    expect(await first.service.stats()).toMatchObject({ queued: 1, pending: 0, owned: 0 });
    await expect(first.service.claim({ dataStream: 'x' })).rejects.toMatchObject(claimed);
    expect(instances.flatMap((one) => one.eventsOf('requeued'))).toMatchObject([{ handoffId: id, cause: 'crash' }]);
    const consumer = pull(first.service);
    await consumer.until('StreamAdded');
    expect(consumer.added[0]).toMatchObject({ handoffId: id, attempt: 2, info: { n: 1 } });
  });

  it('what has a live owner, or is in its back-off, is refused', async () => {
    const gate = new Gate();
    const { service, eventsOf } = await start({
      service: freshService(),
      options: { ...patient, nackBackoff: { base: '1h', cap: '1h' } },
      handle: async ({ dataStream }) => {
        if (dataStream === 'refused') throw new Error('not now');
        await gate.pass();
      },
    });
    await service.produce('running');
    await service.produce('refused');
    await gate.arrived();
    await waitFor(() => eventsOf('nacked').length === 1, { description: 'one is refused' });
    for (const dataStream of ['running', 'refused'])
      await expect(service.claim({ dataStream })).rejects.toMatchObject(claimed);
    expect(await service.stats()).toMatchObject({ pending: 2, owned: 1, held: 1 });
    gate.open();
  });

  it('what is queued, finished or unknown is refused, and so is a name that is none', async () => {
    const { service } = await start({ service: freshService(), options: patient });
    await service.produce('queued');
    for (const dataStream of ['queued', 'never'])
      await expect(service.claim({ dataStream })).rejects.toMatchObject(claimed);
    for (const dataStream of ['', 'x'.repeat(10_240), 'a\uD800'])
      await expect(service.claim({ dataStream })).rejects.toMatchObject({ code: 'HANDOFF_INVALID' });
    expect(await service.stats()).toMatchObject({ queued: 1 });
  });

  it('the last attempt of an orphan gives it up', async () => {
    const service = freshService();
    const instance = await start({ service, options: { ...patient, recovery: { interval: '1h', maxRetries: 0 } } });
    const id = await instance.service.produce('x');
    await ownAsGhost(redis, service, 1);
    expect(await instance.service.claim({ dataStream: 'x' })).toBe('deadLettered');
    expect(await instance.service.deadLetters.get(id)).toMatchObject({ attempts: 1, reason: 'max_retries_exceeded' });
    expect(instance.eventsOf('deadLettered')).toHaveLength(1);
  });

  it('means just one ownership where the ref names its hand-off or its fence', async () => {
    const service = freshService();
    const { service: reconcile } = await start({ service, options: patient });
    const handoffId = await reconcile.produce('x');
    await ownAsGhost(redis, service, 1);
    const dataStream = 'x';
    await expect(reconcile.claim({ dataStream, fence: 2 })).rejects.toMatchObject(claimed);
    await expect(reconcile.claim({ dataStream, handoffId: 'another' })).rejects.toMatchObject(claimed);
    expect(await reconcile.claim({ dataStream, handoffId, fence: 1 })).toBe('requeued');
  });

  it('takes a hand-off as its own ref, and nothing from its owner', async () => {
    const held: Handoff[] = [];
    const gate = new Gate();
    const { service } = await start({
      service: freshService(),
      options: patient,
      handle: async (handoff) => {
        held.push(handoff);
        await gate.pass();
      },
    });
    await service.produce('x');
    await gate.arrived();
    await expect(service.claim(held[0] as Handoff)).rejects.toMatchObject(claimed);
    held[0]?.assertOwned();
    gate.open();
  });

  it('waits for one lease after Redis was away: its owner may hand back by itself', async () => {
    const service = freshService();
    let isAway = false;
    const instance = new HookedRedis(sharedRedisUrl(), (name) =>
      isAway && name === 'evalsha' ? new Error('the connection is gone') : undefined,
    );
    const { service: reconcile } = await start({ service, options: { ...patient, connection: { instance } } });
    await reconcile.produce('x');
    await ownAsGhost(redis, service, 1);
    isAway = true;
    await expect(reconcile.stats()).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' });
    isAway = false;
    await reconcile.stats();
    await expect(reconcile.claim({ dataStream: 'x' })).rejects.toMatchObject({
      code: 'REDIS_UNAVAILABLE',
      retryable: true,
    });
    expect(await reconcile.stats()).toMatchObject({ pending: 1 });
    instance.disconnect();
  });
});
