import type { RedisReconcileService } from '@nest-baton/redis-reconcile';
import { ClusterFaultProxy, type RedisCluster, type RedisClusterNode, waitFor } from '@nest-baton/testing';
import { Cluster } from 'ioredis';
import { CollectedMetrics } from '../../support/collected-metrics.js';
import { freshService, type Instance, keysOf } from '../support/instance.js';
import {
  clusterUnderTest,
  letReplicasTakeOver,
  mastersOf,
  PARTITIONS,
  serviceOnEveryMaster,
  subscribersOf,
} from '../support/on-cluster.js';

/** The scan would take an hour: what happens sooner, an event has done. */
const eventsOnly = { keyspaceEvents: 'auto', hints: 'on', recovery: { interval: '1h' }, lease: '2s' } as const;

describe('expiry events of a cluster', () => {
  const under = clusterUnderTest();
  let collected: CollectedMetrics;

  beforeAll(() => {
    collected = CollectedMetrics.register();
  });
  beforeEach(async () => {
    await under.cluster.settled();
    // On replicas too: a promoted one starts with its own.
    await everyNode((node) => under.cluster.command(node, 'CONFIG', 'SET', 'notify-keyspace-events', ''));
  });
  afterAll(() => collected.unregister());

  const everyNode = <T>(act: (node: RedisClusterNode) => Promise<T>) =>
    Promise.all(under.cluster.nodes.filter(({ state }) => state === 'running').map(act));
  const flagsOf = async (node: RedisClusterNode) =>
    ((await under.cluster.command(node, 'CONFIG', 'GET', 'notify-keyspace-events')) as string[])[1] ?? '';
  const sorted = (text: string) => text.split('').sort().join('');
  const subscriptions = async (service: string) => {
    const masters = await under.cluster.masters();
    return Promise.all(masters.map((master) => subscribersOf(under.cluster, master, service)));
  };
  const total = (name: string, instance: string) => collected.total(`baton.redis_reconcile.${name}`, instance);

  /** A lease of nobody on each partition, that runs out when it is told to. */
  const leaveOrphans = async (service: string, producer: RedisReconcileService, count: number) => {
    for (let i = 0; i < count; i++) await producer.produce(`s${i}`);
    const names: { partition: number; dataStream: string }[] = [];
    for (let p = 0; p < PARTITIONS; p++) {
      const keys = keysOf(service, p, PARTITIONS);
      await under.admin.xgroup('CREATE', keys.stream, 'owners', '0', 'MKSTREAM').catch(() => undefined);
      const read = ['GROUP', 'owners', 'ghost', 'COUNT', 1000, 'STREAMS', keys.stream, '>'];
      const reply = (await under.admin.call('XREADGROUP', read)) as [string, [string, string[]][]][] | null;
      for (const [id, fields] of reply?.[0]?.[1] ?? []) {
        const dataStream = fields[fields.indexOf('stream') + 1] ?? '';
        const record = { id, token: `ghost-${id}`, fence: '1', consumer: 'ghost' };
        await under.admin.hset(keys.owned, dataStream, JSON.stringify(record));
        await under.admin.set(keys.lease(dataStream), record.token, 'PX', 600_000);
        await under.admin.call('XCLAIM', keys.stream, 'owners', 'ghost', 0, id, 'RETRYCOUNT', 2, 'JUSTID');
        names.push({ partition: p, dataStream });
      }
    }
    const lapse = () =>
      Promise.all(
        names.map((one) => under.admin.pexpire(keysOf(service, one.partition, PARTITIONS).lease(one.dataStream), 200)),
      );
    return { names: names.map(({ dataStream }) => dataStream).toSorted(), lapse };
  };

  it('come from every master to every process (OSSClusterKeyspaceSubscription, KspNotifs on 30 streams)', async () => {
    const service = await serviceOnEveryMaster(under.cluster);
    const producer = await under.start({ service, name: 'producer' });
    const orphans = await leaveOrphans(service, producer.service, 30);
    const seen: string[] = [];
    const instances: Instance[] = [];
    for (const name of ['one', 'two'])
      instances.push(
        await under.start({
          service,
          name,
          options: eventsOnly,
          concurrency: 40,
          handle: async ({ dataStream }) => void seen.push(dataStream),
        }),
      );
    // Confirmed before the start has resolved, on all masters.
    expect(await subscriptions(service)).toEqual([2, 2, 2]);
    for (const instance of instances)
      expect(await instance.service.health()).toEqual({
        ...{ state: 'up', mode: 'listening', masters: 3, subscribed: 3, isSettled: true },
      });
    for (const master of await under.cluster.masters()) expect(sorted(await flagsOf(master))).toBe('Kx');
    await orphans.lapse();
    await waitFor(() => seen.length >= 30, { description: 'all were recovered', timeoutMs: 20_000 });
    expect(seen.toSorted()).toEqual(orphans.names);
    for (const name of ['one', 'two'])
      await waitFor(async () => (await total('expiry_events.heard', name))[''] === 30, {
        description: `${name} heard of all`,
      });
  });

  it('have one subscription on each master after three resets, and none after the end (SubscriptionsAreNotLeaked, KeyspaceSetupMetrics, B40)', async () => {
    const service = freshService();
    const name = 'resetting';
    const instance = await under.start({ service, name, options: eventsOnly, handle: async () => undefined });
    expect(await subscriptions(service)).toEqual([1, 1, 1]);
    expect(await total('expiry_events.setups', name)).toEqual({ covered: 3 });
    for (let i = 1; i <= 3; i++) {
      expect(await instance.service.resetTopology()).toEqual({
        ...{ topology: 'cluster', masters: 3, answering: 3, subscribed: 3, isSettled: true, reason: '' },
      });
      expect(await total('expiry_events.setups', name)).toEqual({ covered: 3 + 3 * i });
    }
    expect(await subscriptions(service)).toEqual([1, 1, 1]);
    expect(await total('topology.resets', name)).toEqual({ done: 4 });
    const gauges = await collected.latest();
    for (const [gauge, value] of [
      ['masters', 3],
      ['masters_subscribed', 3],
      ['settled', 1],
    ] as const)
      expect(gauges.get(`baton.redis_reconcile.topology.${gauge}`)?.[name]).toBe(value);
    expect(instance.eventsOf('topologyChanged')).toHaveLength(4);
    await instance.close();
    await waitFor(async () => (await subscriptions(service)).every((count) => count === 0), {
      description: 'no subscription to be left',
    });
  });

  it('add to the flags of others, on each master (InitRefusesExistingConfigWithoutOverride, ReinitTopologyWithoutForceOverride)', async () => {
    await everyNode((node) => under.cluster.command(node, 'CONFIG', 'SET', 'notify-keyspace-events', 'gE$'));
    const verify = { ...eventsOnly, keyspaceEvents: 'verify' } as const;
    const reader = await under.start({ service: freshService(), options: verify, handle: async () => undefined });
    for (const master of await under.cluster.masters()) expect(sorted(await flagsOf(master))).toBe(sorted('gE$'));
    expect(await reader.service.health()).toMatchObject({
      ...{ state: 'degraded', mode: 'scanning', reason: 'events_lost', masters: 3, subscribed: 0 },
    });
    const merging = await under.start({ service: freshService(), options: eventsOnly, handle: async () => undefined });
    for (const master of await under.cluster.masters()) expect(sorted(await flagsOf(master))).toBe(sorted('gE$Kx'));
    // Somebody takes them away: asked for again, with those that are there by then.
    const [master] = await under.cluster.masters();
    if (master === undefined) throw new Error('no master');
    await under.cluster.command(master, 'CONFIG', 'SET', 'notify-keyspace-events', 'l');
    await merging.service.resetTopology();
    expect(sorted(await flagsOf(master))).toBe(sorted('lKx'));
    expect(await merging.service.health()).toMatchObject({ state: 'up', mode: 'listening' });
  });

  it('come from a promoted replica within 5 s, without anybody being told (FailoverThenReinitTopology, R22, B42)', async () => {
    const service = await serviceOnEveryMaster(under.cluster);
    const producer = await under.start({ service, name: 'hands-off' });
    const seen: string[] = [];
    const instance = await under.start({
      service,
      options: eventsOnly,
      concurrency: 40,
      handle: async ({ dataStream }) => void seen.push(dataStream),
    });
    const orphans = await leaveOrphans(service, producer.service, 0);
    const [before] = await mastersOf(under.cluster, service);
    if (before === undefined) throw new Error('no master');
    const [replica] = await under.cluster.replicasOf(before);
    if (replica === undefined) throw new Error('no replica');
    expect(await flagsOf(replica)).toBe('');
    const promoted = await under.cluster.failover(before);
    const at = performance.now();
    expect(promoted).toBe(replica);
    await waitFor(async () => (await subscribersOf(under.cluster, promoted, service)) === 1, {
      description: 'a subscription to the promoted one',
      timeoutMs: 15_000,
    });
    await waitFor(async () => (await instance.service.health()).state === 'up', { description: 'all to be covered' });
    const took = performance.now() - at;
    expect(sorted(await flagsOf(promoted))).toBe('Kx');
    expect(took).toBeLessThan(5000);
    expect(await subscriptions(service)).toEqual([1, 1, 1]);
    await waitFor(async () => (await subscribersOf(under.cluster, before, service)) === 0, {
      description: 'the one before to be left alone',
    });
    expect(orphans.names).toEqual([]);
    // Quiet for a lease after the change; then what the promoted one tells is acted on.
    const key = keysOf(service, 0, PARTITIONS).lease('told');
    const heard = (await total('expiry_events.heard', 'default'))[''] ?? 0;
    await under.admin.set(key, 'x', 'PX', 10);
    await waitFor(async () => (await under.admin.exists(key)) === 0, { description: 'the expiry' });
    await waitFor(async () => ((await total('expiry_events.heard', 'default'))[''] ?? 0) > heard, {
      description: 'it to be told by the promoted one',
    });
  });

  it('are asked for only when all nodes agree: a reset in between throws and changes nothing (EvaluateSettled, B41)', async () => {
    const service = freshService();
    const instance = await under.start({ service, options: eventsOnly, handle: async () => undefined });
    const victim = (await under.cluster.masters())[2] as RedisClusterNode;
    await letReplicasTakeOver(under.cluster, victim);
    const killed = await under.cluster.killMaster(victim);
    // Masters that lost one of them say `cluster_state:fail` until its replica serves.
    const refused = await refusal(under.cluster, instance.service);
    expect(refused).toMatchObject({ code: 'CLUSTER_NOT_SETTLED', retryable: true });
    await under.cluster.settled();
    expect(await waitForCoverage(instance)).toMatchObject({
      state: 'up',
      mode: 'listening',
      masters: 3,
      subscribed: 3,
    });
    expect(await subscriptions(service)).toEqual([1, 1, 1]);
    await under.cluster.restartNode(killed);
    await under.cluster.settled();
    expect((await total('topology.resets', 'default'))['not_settled']).toBeGreaterThan(0);
  });

  it('are heard from the others while a master cannot be reached, at start and later (B39)', async () => {
    const service = await serviceOnEveryMaster(under.cluster);
    const paths = await ClusterFaultProxy.start(under.cluster);
    const client = new Cluster([...paths.nodes], { natMap: { ...paths.natMap }, lazyConnect: true });
    client.on('error', () => undefined);
    try {
      const meta = await under.cluster.ownerOf(`{${service}}:meta`);
      const away = (await under.cluster.masters()).find((master) => master !== meta);
      if (away === undefined) throw new Error('no other master');
      paths.proxyOf(away).refuse();
      const seen: string[] = [];
      const instance = await under.start({
        service,
        options: { ...eventsOnly, connection: { instance: client } },
        concurrency: 40,
        handle: async ({ dataStream }) => void seen.push(dataStream),
      });
      expect(await instance.service.health()).toMatchObject({
        ...{ state: 'degraded', mode: 'scanning', reason: 'masters_away', masters: 3, subscribed: 2 },
      });
      const masters = await mastersOf(under.cluster, service);
      for (let i = 0; i < 20; i++) await instance.service.produce(`s${i}`).catch(() => undefined);
      await waitFor(() => seen.length > 0, { description: 'what the others serve to be done' });
      expect(masters).toContain(away);
      await paths.heal();
      expect(await waitForCoverage(instance)).toMatchObject({ state: 'up', mode: 'listening', subscribed: 3 });
      // And when none answers, the health says so.
      for (const proxy of paths.proxies) proxy.refuse();
      for (const proxy of paths.proxies) proxy.connections.forEach((connection) => connection.cut());
      await waitFor(async () => (await instance.service.health()).state === 'down', { description: 'it to be down' });
      await expect(instance.service.resetTopology()).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' });
      await paths.heal();
      expect(await waitForCoverage(instance)).toMatchObject({ state: 'up', subscribed: 3 });
      await instance.close();
    } finally {
      await paths.stop();
    }
  });
});

async function waitForCoverage({ service }: Instance) {
  await waitFor(async () => (await service.health()).state === 'up', {
    description: 'all masters to be covered',
    timeoutMs: 20_000,
  });
  return service.health();
}

/** What resets say until one throws because of the cluster, or it has settled again. */
async function refusal(cluster: RedisCluster, service: RedisReconcileService): Promise<unknown> {
  let refused: unknown;
  let isSettled = false;
  const settled = cluster.settled().then(() => (isSettled = true));
  await waitFor(
    async () => {
      await service.resetTopology().catch((error: unknown) => {
        if ((error as { code?: string }).code === 'CLUSTER_NOT_SETTLED') refused = error;
      });
      return refused !== undefined || isSettled;
    },
    { description: 'a reset to be refused', timeoutMs: 20_000 },
  );
  await settled;
  return refused;
}
