import { jest } from '@jest/globals';
import {
  InjectRedisReconcile,
  REDIS_RECONCILE_METRICS,
  RedisReconcileModule,
  RedisReconcileService,
} from '@nest-baton/redis-reconcile';
import { type ExclusiveRedis, Gate, sharedRedisUrl, startRedis, waitFor } from '@nest-baton/testing';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { Redis } from 'ioredis';
import { CollectedMetrics } from '../support/collected-metrics.js';
import { metricRows, plainRows } from '../support/documented-metrics.js';
import {
  aborted,
  type Instance,
  type InstanceSettings,
  FAST,
  freshService,
  keysOf,
  openRedis,
  ownAsGhost,
  startInstance,
} from './support/instance.js';

type Name = keyof typeof REDIS_RECONCILE_METRICS.instruments;

let collected: CollectedMetrics;
let redis: Redis;
const open: Instance[] = [];
const seen = new Set<string>();

beforeAll(() => {
  collected = CollectedMetrics.register();
  redis = openRedis();
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((instance) => instance.close()));
});
afterAll(async () => {
  redis.disconnect();
  await collected.unregister();
});

const start = async (settings: InstanceSettings) => {
  const instance = await startInstance(settings);
  open.push(instance);
  return instance;
};

/** What an instance has counted. */
const total = (name: Name, instance: string) => {
  seen.add(name);
  return collected.total(`baton.redis_reconcile.${name}`, instance);
};

/** The same once a condition holds. */
const reaches = async (name: Name, instance: string, expected: Record<string, number>) => {
  let points = {};
  const isReached = async () => {
    points = await total(name, instance);
    return Object.entries(expected).every(([value, count]) => (points as Record<string, number>)[value] === count);
  };
  await waitFor(isReached, { description: `${name} of ${instance} to be ${JSON.stringify(expected)}` });
  return points;
};

/** What a gauge shows now. */
const shown = async (name: Name, instance: string) => {
  seen.add(name);
  return (await collected.latest()).get(`baton.redis_reconcile.${name}`)?.[instance];
};

const scansNever = { recovery: { interval: '1h' } } as const;
const nothing = async (): Promise<void> => undefined;

describe('handing off', () => {
  it('counts each call once, and shows what is queued', async () => {
    const { service } = await start({ service: freshService(), name: 'handing' });
    await service.produce('a');
    const first = await service.produce('b', { dedupeId: 'b' });
    expect(await service.produce('b', { dedupeId: 'b' })).toBe(first);
    await expect(service.produce('')).rejects.toMatchObject({ code: 'HANDOFF_INVALID' });
    expect(await total('handoffs.produced', 'handing')).toEqual({ added: 2, duplicate: 1, refused: 1 });
    expect(await total('produce.duration', 'handing')).toEqual({ '': 3 });
    expect(await shown('handoffs.queued', 'handing')).toBe(2);
    expect(await shown('handoffs.pending', 'handing')).toBe(0);
    // Without a handler nothing is owned and no events are listened to.
    expect(await shown('handoffs.owned', 'handing')).toBeUndefined();
    expect(await shown('expiry_events.covered', 'handing')).toBeUndefined();
  });
});

describe('owning', () => {
  it('counts what became of each ownership, and shows what is owned, waiting and held', async () => {
    const gate = new Gate();
    const { service } = await start({
      service: freshService(),
      name: 'owning',
      options: { ...scansNever, nackBackoff: { base: '1h', cap: '1h' } },
      handle: async ({ dataStream }) => {
        if (dataStream === 'gated') await gate.pass();
        if (dataStream === 'refused') throw new Error('not now');
      },
    });
    for (const dataStream of ['easy', 'refused', 'gated', 'gated']) await service.produce(dataStream);
    await gate.arrived();
    await reaches('handoffs.nacked', 'owning', { '': 1 });
    await reaches('handoffs.done', 'owning', { '': 1 });
    await waitFor(async () => (await service.stats()).waiting === 1, { description: 'the second one to wait' });
    expect(await shown('handoffs.owned', 'owning')).toBe(1);
    expect(await shown('handoffs.waiting', 'owning')).toBe(1);
    expect(await shown('handoffs.held', 'owning')).toBe(1);
    expect(await shown('handoffs.pending', 'owning')).toBe(2);
    expect(await shown('connection.up', 'owning')).toBe(1);
    await waitFor(async () => ((await shown('lag', 'owning')) ?? 0) > 0.05, { description: 'the lag to grow' });
    await waitFor(async () => ((await total('leases.renewed', 'owning'))['renewed'] ?? 0) > 0, {
      description: 'a renewal',
    });
    gate.open();
    await reaches('handoffs.done', 'owning', { '': 3 });
    expect(await total('handoffs.acquired', 'owning')).toEqual({ '': 4 });
    expect(await total('handler.duration', 'owning')).toEqual({ resolved: 3, threw: 1 });
    expect(await total('leases.renewed', 'owning')).toEqual({ renewed: expect.any(Number) });
  });

  it('tells what was handed back by its handler from what was taken from it', async () => {
    const running = new Gate();
    const instance: Instance = await start({
      service: freshService(),
      name: 'releasing',
      options: scansNever,
      handle: async (handoff) => {
        // What is handed back comes again at once.
        if (instance.eventsOf('acquired').length > 1 && handoff.dataStream === 'own') return;
        if (handoff.dataStream === 'own') return instance.service.release(handoff);
        await running.pass();
      },
    });
    await instance.service.produce('own');
    await reaches('handoffs.done', 'releasing', { '': 1 });
    await instance.service.produce('taken');
    await running.arrived();
    await instance.service.release('taken');
    expect(await total('handoffs.released', 'releasing')).toEqual({ settled: 1, running: 1 });
    running.open();
  });

  it('counts leases that are lost to another owner, and a handler that resolves all the same', async () => {
    const service = freshService();
    const gate = new Gate();
    const instance = await start({
      service,
      name: 'robbed',
      options: scansNever,
      handle: async () => gate.pass(),
    });
    await instance.service.produce('x');
    await gate.arrived();
    await redis.hset(keysOf(service).owned, 'x', JSON.stringify({ id: '1-1', token: 'other', fence: '1' }));
    await reaches('leases.renewed', 'robbed', { lost: 1 });
    expect(await total('handoffs.lost', 'robbed')).toEqual({ '': 1 });
    gate.open();
    await reaches('handoffs.done_refused', 'robbed', { '': 1 });
    expect(await total('handoffs.done', 'robbed')).toEqual({});
  });

  it('counts leases that have lapsed on the server', async () => {
    const service = freshService();
    const { service: work } = await start({
      service,
      name: 'lapsing',
      options: scansNever,
      handle: async ({ signal }) => {
        throw await aborted(signal);
      },
    });
    await work.produce('x');
    await reaches('handoffs.acquired', 'lapsing', { '': 1 });
    await redis.del(keysOf(service).lease('x'));
    await reaches('leases.renewed', 'lapsing', { lapsed: 1 });
    expect(await total('handoffs.lost', 'lapsing')).toEqual({ '': 1 });
  });
});

describe('recovering', () => {
  it('counts what looks find, what they requeue, and what they leave alone', async () => {
    const service = freshService();
    const producer = await start({ service, name: 'finding' });
    for (const dataStream of ['crashed', 'alive']) await producer.service.produce(dataStream);
    await ownAsGhost(redis, service, 2);
    await redis.set(keysOf(service).lease('alive'), 'ghost', 'PX', 60_000);
    await producer.service.produce('never leased');
    await redis.xreadgroup('GROUP', 'owners', 'ghost', 'COUNT', 1, 'STREAMS', keysOf(service).stream, '>');
    const look = async () => {
      const { skippedAlive, requeued } = await producer.service.reconcileNow();
      return skippedAlive === 1 || requeued > 0;
    };
    await waitFor(look, { description: 'the ghost to be silent for long enough' });
    await reaches('handoffs.requeued', 'finding', { crash: 1 });
    await waitFor(
      async () => {
        await producer.service.reconcileNow();
        return (await total('handoffs.requeued', 'finding'))['never_leased'] === 1;
      },
      { description: 'the entry that was never leased' },
    );
    const entries = await total('scan.entries', 'finding');
    expect(entries).toMatchObject({ requeued: 2, dead_lettered: 0, lost_race: expect.any(Number) });
    expect(entries['alive']).toBeGreaterThan(0);
    expect((await total('scan.duration', 'finding'))['']).toBe(producer.eventsOf('scanned').length);
  });

  it('counts what is given up by its reason, and how often somebody had to be told', async () => {
    const service = freshService();
    const told: string[] = [];
    const instance = await start({
      service,
      name: 'burying',
      options: { recovery: { maxRetries: 1 } },
      handle: async ({ dataStream }) => {
        if (dataStream === 'hopeless') throw new Error('never');
      },
      onDeadLetter: async ({ dataStream }) => {
        told.push(dataStream);
        if (told.length === 1) throw new Error('not yet');
      },
    });
    await instance.service.produce('hopeless');
    await reaches('handoffs.dead_lettered', 'burying', { retries: 1 });
    expect(await total('handoffs.requeued', 'burying')).toEqual({ nack: 1 });
    await redis.xadd(keysOf(service).stream, '*', 'no', 'stream');
    await reaches('handoffs.dead_lettered', 'burying', { retries: 1, unreadable: 1 });
    expect(await shown('handoffs.dead', 'burying')).toBe(2);
    // Nobody can be told of what cannot be read.
    expect(await reaches('dead_letters.told', 'burying', { handled: 1 })).toEqual({ handled: 1, failed: 1 });
  });

  it('counts what was read and lost ten times before anybody leased it', async () => {
    const service = freshService();
    const producer = await start({ service, name: 'unleased' });
    const { stream } = keysOf(service);
    await redis.xgroup('CREATE', stream, 'owners', '0', 'MKSTREAM');
    await redis.xadd(stream, '*', 'stream', 'x', 'unleased', '10');
    await redis.xreadgroup('GROUP', 'owners', 'ghost', 'COUNT', 1, 'STREAMS', stream, '>');
    await waitFor(async () => (await producer.service.reconcileNow()).deadLettered === 1, { description: 'its end' });
    expect(await total('handoffs.dead_lettered', 'unleased')).toEqual({ never_leased: 1 });
  });
});

describe('dead letters', () => {
  it('count what is redriven and purged', async () => {
    const { service } = await start({
      service: freshService(),
      name: 'changed',
      options: { recovery: { maxRetries: 0 } },
      handle: () => Promise.reject(new Error('no')),
    });
    const id = await service.produce('a');
    const other = await service.produce('b');
    await waitFor(async () => (await service.stats()).dead === 2, { description: 'both are dead' });
    await service.deadLetters.redrive(id);
    await reaches('dead_letters.redriven', 'changed', { '': 1 });
    expect(await service.deadLetters.purge({ where: ({ handoffId }) => handoffId === other })).toMatchObject({
      purged: 1,
    });
    await reaches('dead_letters.purged', 'changed', { '': 1 });
  });
});

describe('a server of their own', () => {
  let server: ExclusiveRedis;

  beforeAll(async () => void (server = await startRedis({ exclusive: true })));
  afterAll(() => server.stop());

  it('count what is moved when the number of partitions changes, and show that it does', async () => {
    const service = freshService();
    const gate = new Gate();
    const old = await start({ service, name: 'of-one', concurrency: 1, handle: () => gate.pass() });
    await old.service.produce('owned');
    await gate.arrived();
    const producer = await start({ service, name: 'old' });
    await redis.xadd(keysOf(service).dlq, '*', 'stream', 'dead', 'id', 'dead-id');
    for (let i = 0; i < 3; i++) await redis.xadd(keysOf(service).stream, '*', 'x', 'unreadable');
    await producer.service.repartition(2);
    await reaches('repartition.moved', 'old', { handoffs: 3, dead_letters: 1 });
    await start({ service, name: 'of-two', options: { partitions: 2 }, handle: async () => undefined });
    expect(await shown('repartition.draining', 'of-two')).toBe(1);
    gate.open();
    await waitFor(async () => (await shown('repartition.draining', 'of-two')) === 0, {
      description: 'the drain to be over',
    });
  });

  it('shows whether expiry events arrive, and counts those that did', async () => {
    const service = freshService();
    const own = openRedis(server.url);
    const on = { hints: 'on', keyspaceEvents: 'auto', ...scansNever } as const;
    const verify = { ...on, keyspaceEvents: 'verify' } as const;
    await start({ url: server.url, service: freshService(), name: 'deaf', options: verify, handle: nothing });
    expect(await shown('expiry_events.covered', 'deaf')).toBe(0);
    expect(await total('expiry_events.setups', 'deaf')).toEqual({ not_covered: 1 });
    const listening = await start({ url: server.url, service, name: 'covered', options: on, handle: nothing });
    expect(await shown('expiry_events.covered', 'covered')).toBe(1);
    expect(await total('expiry_events.setups', 'covered')).toEqual({ covered: 1 });
    const off = { keyspaceEvents: 'off' } as const;
    await start({ url: server.url, service: freshService(), name: 'alone', options: off, handle: nothing });
    expect(await shown('expiry_events.covered', 'alone')).toBeUndefined();
    await own.set(keysOf(service).lease('gone'), 'x', 'PX', 5);
    // Redis removes it when somebody looks, or when it comes by.
    await waitFor(async () => (await own.exists(keysOf(service).lease('gone'))) === 0, { description: 'the expiry' });
    await reaches('expiry_events.heard', 'covered', { '': 1 });
    own.disconnect();
    await listening.close();
  });

  it('counts the hints that an iterator has no room for, and forged ones bring nothing (B29, B30)', async () => {
    const service = freshService();
    const own = openRedis(server.url);
    const options = { hints: 'on', keyspaceEvents: 'auto', ...scansNever } as const;
    const instance = await start({ url: server.url, service, name: 'idle', options });
    const notifications = instance.service.notifications({ concurrency: 1 });
    await instance.service.produce('first');
    // From then on nobody pulls.
    await notifications.next();
    for (let i = 0; i < 600; i++)
      await own.publish(`__keyspace@0__:${keysOf(service).lease(`forged-${i}`)}`, 'expired');
    await reaches('notifications.dropped', 'idle', { '': 100 });
    expect(await instance.service.stats()).toMatchObject({ pending: 1, queued: 0 });
    await notifications.return();
    own.disconnect();
  });

  it('shows a server that answers nothing as 0, and counts the gap', async () => {
    const gate = new Gate();
    const { service } = await start({
      url: server.url,
      service: freshService(),
      name: 'frozen',
      options: { lease: '2s', commandTimeout: 200 },
      handle: async () => gate.pass(),
    });
    await service.produce('x');
    await gate.arrived();
    server.freeze();
    await expect(service.produce('y')).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' });
    expect(await total('handoffs.produced', 'frozen')).toEqual({ added: 1, unknown: 1 });
    expect(await shown('connection.up', 'frozen')).toBe(0);
    // The points that only the server knows are missing, and hold nobody up.
    expect((await collected.latest()).get('baton.redis_reconcile.handoffs.queued')?.['frozen']).toBeUndefined();
    await waitFor(async () => ((await total('leases.renewed', 'frozen'))['failed'] ?? 0) > 0, {
      description: 'a renewal to fail',
    });
    await waitFor(async () => ((await total('scan.failures', 'frozen'))[''] ?? 0) > 0, {
      description: 'a look to fail',
    });
    server.thaw();
    await waitFor(async () => ((await total('connection.gaps', 'frozen'))[''] ?? 0) > 0, { description: 'the gap' });
    expect(await shown('connection.up', 'frozen')).toBe(1);
    gate.open();
  });

  it('counts what a shutdown left behind', async () => {
    const [deaf, slow] = [new Gate(), new Gate()];
    const instance = await start({
      url: server.url,
      service: freshService(),
      name: 'stopping',
      options: { ...scansNever, lease: '60s', shutdownTimeout: 300, commandTimeout: 200 },
      handle: async ({ dataStream, signal }) => {
        if (dataStream === 'deaf') return deaf.pass();
        if (dataStream === 'slow') await slow.pass();
        const reason = await aborted(signal);
        if (dataStream !== 'finishing') throw reason;
      },
    });
    for (const dataStream of ['deaf', 'obedient', 'finishing']) await instance.service.produce(dataStream);
    await reaches('handoffs.acquired', 'stopping', { '': 3 });
    await instance.close();
    expect(await total('shutdown.handoffs', 'stopping')).toEqual({
      finished: 1,
      released: 1,
      released_while_running: 1,
      abandoned: 0,
    });
    deaf.open();

    const cut = await start({
      url: server.url,
      service: freshService(),
      name: 'cut',
      options: { ...scansNever, lease: '60s', shutdownTimeout: 300, commandTimeout: 200 },
      handle: async () => slow.pass(),
    });
    await cut.service.produce('x');
    await slow.arrived();
    server.freeze();
    await cut.close();
    server.thaw();
    expect(await total('shutdown.handoffs', 'cut')).toMatchObject({ abandoned: 1 });
    slow.open();
  });
});

describe('metrics in an application', () => {
  @Injectable()
  class TwoServices {
    constructor(
      @InjectRedisReconcile() readonly main: RedisReconcileService,
      @InjectRedisReconcile('second') readonly second: RedisReconcileService,
    ) {}
  }

  const options = { ...FAST, connection: { url: sharedRedisUrl() }, consumerId: 'me' };
  const services = [freshService(), freshService()];

  @Module({
    imports: [
      RedisReconcileModule.forRootAsync({ useFactory: () => ({ ...options, service: services[0] }) }),
      RedisReconcileModule.forRootAsync({ name: 'second', useFactory: () => ({ ...options, service: services[1] }) }),
    ],
    providers: [TwoServices],
  })
  class AppModule {}

  it('carry the name of their instance, and are not asked for after close()', async () => {
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
    const { main, second } = app.get(TwoServices);
    await main.produce('a');
    for (const dataStream of ['b', 'c']) await second.produce(dataStream);
    expect(await total('handoffs.produced', 'default')).toEqual({ added: 1 });
    expect(await total('handoffs.produced', 'second')).toEqual({ added: 2 });
    const reads = [jest.spyOn(main, 'stats'), jest.spyOn(second, 'stats')];
    const queued = (await collected.latest()).get('baton.redis_reconcile.handoffs.queued');
    expect(queued).toEqual({ default: 1, second: 2 });
    for (const read of reads) {
      expect(read).toHaveBeenCalled();
      read.mockClear();
    }

    await app.close();
    expect(await collected.latest()).toEqual(new Map());
    for (const read of reads) expect(read).not.toHaveBeenCalled();
  });

  it('are not needed: without an SDK everything works, and one that is registered later sees nothing', async () => {
    await collected.unregister();
    const done: string[] = [];
    const instance = await start({
      service: freshService(),
      handle: async ({ dataStream }) => void done.push(dataStream),
    });
    collected = CollectedMetrics.register();
    await instance.service.produce('alone');
    await waitFor(() => done.length === 1, { description: 'the work to be done' });
    expect(await collected.latest()).toEqual(new Map());
  });

  it('are in the README, each with a row', () => {
    expect(plainRows('libs/redis-reconcile')).toEqual(expect.arrayContaining(metricRows(REDIS_RECONCILE_METRICS)));
  });

  it('have all been seen to move above', () => {
    // Those of a cluster are seen in hints/cluster-events.spec.ts.
    const names = Object.keys(REDIS_RECONCILE_METRICS.instruments).filter((name) => !name.startsWith('topology.'));
    expect([...seen].toSorted()).toEqual(names.toSorted());
  });
});
