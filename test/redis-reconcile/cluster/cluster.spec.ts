import { fileURLToPath } from 'node:url';
import { RedisReconcileModule, type RedisReconcileOptions } from '@nest-baton/redis-reconcile';
import { RedisReconcileHealthModule, RedisTopologyHealthIndicator } from '@nest-baton/redis-reconcile/health';
import { type ChildWorker, hintsUnderTest, sharedRedisUrl, startProcess, waitFor } from '@nest-baton/testing';
import { Logger } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { Cluster, Redis } from 'ioredis';
import { aborted, FAST, freshService, keysOf } from '../support/instance.js';
import { clusterUnderTest, mastersOf, PARTITIONS, serviceOnEveryMaster } from '../support/on-cluster.js';

const entry = fileURLToPath(new URL('../support/worker.ts', import.meta.url));

describe('a cluster', () => {
  const under = clusterUnderTest();
  const children: ChildWorker[] = [];

  beforeAll(() => {
    Logger.overrideLogger(false);
  });
  afterEach(async () => {
    await Promise.all(children.splice(0).map((child) => child.stop()));
  });

  /** The names of a partition each, so that every master has some. */
  const names = (count: number) => Array.from({ length: count }, (_, i) => `s${i}`);

  it('is used whole, from one node that it is told of: work is handed off to, owned and done on every master (B44)', async () => {
    const service = await serviceOnEveryMaster(under.cluster);
    const done: string[] = [];
    const [node = ''] = under.cluster.urls.slice(3);
    const instance = await under.start({
      service,
      nodes: [node],
      concurrency: 20,
      handle: async ({ dataStream }) => void done.push(dataStream),
    });
    await Promise.all(names(60).map((name) => instance.service.produce(name, { info: { of: name } })));
    await waitFor(() => done.length === 60, { description: 'all to be done' });
    expect(done.toSorted()).toEqual(names(60).toSorted());
    expect(await under.admin.hget(`{${service}}:meta`, 'partitions')).toBe(String(PARTITIONS));
    await waitFor(async () => (await instance.service.stats()).owned === 0, { description: 'nothing to be owned' });
    expect(await instance.service.stats()).toMatchObject({ queued: 0, pending: 0, waiting: 0, held: 0, dead: 0 });
  });

  it('sees every transition in one slot: no command is CROSSSLOT (B44)', async () => {
    const service = await serviceOnEveryMaster(under.cluster);
    const refused: string[] = [];
    const client = new Cluster([...under.cluster.nodes], { lazyConnect: true });
    client.on('error', () => undefined);
    let failures = 0;
    const instance = await under.start({
      service,
      options: { connection: { instance: client }, recovery: { maxRetries: 0 } },
      handle: async (handoff) => {
        await handoff.raiseFence(handoff.fence + 5).catch((error: Error) => void refused.push(error.message));
        if (handoff.dataStream.startsWith('bad')) throw new Error(`not this one ${failures++}`);
        if (handoff.dataStream.startsWith('held')) await aborted(handoff.signal);
      },
      onDeadLetter: async (handoff) => handoff.raiseFence(handoff.fence + 5),
      concurrency: 40,
    });
    const { service: handoffs } = instance;
    for (let i = 0; i < 8; i++) {
      await handoffs.produce(`good${i}`, { dedupeId: 'once' });
      await handoffs.produce(`good${i}`, { dedupeId: 'once' });
      await handoffs.produce(`bad${i}`);
      await handoffs.produce(`held${i}`);
      await handoffs.produce(`held${i}`);
    }
    await waitFor(() => instance.eventsOf('deadLetterHandled').length === 8, { description: 'the bad are given up' });
    await waitFor(async () => (await handoffs.stats()).waiting === 8, { description: 'the second of each waits' });
    expect((await handoffs.deadLetters.list()).items).toHaveLength(8);
    const [letter] = (await handoffs.deadLetters.list({ limit: 1 })).items;
    expect(await handoffs.deadLetters.get(letter?.handoffId ?? '')).toMatchObject({ reason: 'max_retries_exceeded' });
    await handoffs.reconcileNow();
    for (let i = 0; i < 4; i++) await handoffs.doneStream(`held${i}`);
    for (let i = 4; i < 8; i++) await handoffs.release(`held${i}`);
    const stats = await handoffs.stats();
    expect(stats).toMatchObject({ dead: 8 });
    // No reply was an error that time does not heal: a CROSSSLOT would be one, and reach us.
    expect(refused).toEqual([]);
    expect(instance.eventsOf('deadLetterHandled').map(({ error }) => error)).toEqual(Array(8).fill(undefined));
    expect(client.status).toBe('wait');
    const errors = await Promise.all(
      under.cluster.nodes.map((one) => under.cluster.command(one, 'INFO', 'errorstats') as Promise<string>),
    );
    expect(errors.join('\n')).not.toContain('CROSSSLOT');
  });

  it('gives back what a dead worker owned on every master, by the scan alone (RecoversStreamsLockedOnEveryMaster, MultiShard)', async () => {
    const service = await serviceOnEveryMaster(under.cluster);
    const child = await startProcess({ entry, args: [under.cluster.urls.join(','), service, '1000', '30'] });
    children.push(child);
    await child.waitForLine(/^ready$/, 30_000);
    const producer = await under.start({ service });
    for (const name of names(30)) await producer.service.produce(name);
    await Promise.all(names(30).map((name) => child.waitForLine(new RegExp(`^owns ${name} attempt 1`), 30_000)));
    const owned = await Promise.all(
      (await mastersOf(under.cluster, service)).map(async (master, p) => ({
        master,
        count: await under.admin.hlen(keysOf(service, p, PARTITIONS).owned),
      })),
    );
    expect(owned.reduce((sum, { count }) => sum + count, 0)).toBe(30);
    expect(new Set(owned.filter(({ count }) => count > 0).map(({ master }) => master.id)).size).toBe(3);
    const seen: { dataStream: string; attempt: number; by: number }[] = [];
    for (const by of [0, 1])
      await under.start({
        service,
        handle: async ({ dataStream, attempt }) => void seen.push({ dataStream, attempt, by }),
      });
    child.signal('SIGKILL');
    await waitFor(() => seen.length >= 30, { description: 'all came to the survivors', timeoutMs: 20_000 });
    expect(seen.map(({ dataStream }) => dataStream).toSorted()).toEqual(names(30).toSorted());
    expect(seen.every(({ attempt }) => attempt === 2)).toBe(true);
    expect(new Set(seen.map(({ by }) => by)).size).toBe(2);
  });

  it('finds new work on all masters soon, also with little capacity left for all the partitions', async () => {
    const service = await serviceOnEveryMaster(under.cluster);
    const done: string[] = [];
    const instance = await under.start({
      service,
      concurrency: 3,
      options: { block: '10s' },
      handle: async ({ dataStream, signal }) => {
        if (dataStream.startsWith('long')) await aborted(signal);
        else done.push(dataStream);
      },
    });
    for (const name of ['long0', 'long1']) await instance.service.produce(name);
    await waitFor(() => instance.eventsOf('acquired').length === 2, {
      description: 'one slot to be left',
      timeoutMs: 30_000,
    });
    for (const name of names(16)) await instance.service.produce(name);
    // Eight partitions that take turns would take eighty seconds, each with a read as long as it was told to be.
    await waitFor(() => done.length === 16, { description: 'all to be done', timeoutMs: 20_000 });
  });

  it('leaves no read parked and no connection open behind a worker that stopped', async () => {
    const service = freshService();
    const connections = async () => {
      const lists = await Promise.all(
        under.cluster.nodes.map((node) => under.cluster.command(node, 'CLIENT', 'LIST', 'TYPE', 'normal')),
      );
      return lists.flatMap((list) => String(list).trim().split('\n')).filter((line) => !/flags=[MS]/.test(line)).length;
    };
    const before = await connections();
    const instance = await under.start({ service, concurrency: 20, handle: async () => undefined });
    await waitFor(async () => (await connections()) >= before + PARTITIONS, { description: 'a read parked for each' });
    const at = performance.now();
    await instance.close();
    expect(performance.now() - at).toBeLessThan(5000);
    await waitFor(async () => (await connections()) <= before, { description: 'none of its connections to be left' });
  });

  describe('is told from a single node before any work is taken:', () => {
    const refusal = async (options: Partial<RedisReconcileOptions>) => {
      const service = freshService();
      const module = Test.createTestingModule({
        imports: [
          RedisReconcileModule.forRoot({
            ...{ connection: { url: sharedRedisUrl() }, consumerId: 'me', service },
            ...FAST,
            ...options,
          }),
        ],
      });
      return (async () => (await module.compile()).init())().then(
        () => 'started',
        (error: Error & { code?: string }) => ({ code: error.code, message: error.message }),
      );
    };

    it('a client of one node is refused untouched (ClusterModeOSSRequiresClusterClient)', async () => {
      const instance = new Redis(sharedRedisUrl(), { lazyConnect: true });
      expect(await refusal({ connection: { instance }, topology: 'cluster' })).toEqual({
        code: 'OPTIONS_INVALID',
        message: expect.stringContaining(
          "topology 'cluster' needs an ioredis Cluster as connection.instance",
        ) as string,
      });
      expect(instance.status).toBe('wait');
    });

    it('a client of a cluster is refused untouched as a single node', async () => {
      const instance = new Cluster([...under.cluster.nodes], { lazyConnect: true });
      expect(await refusal({ connection: { instance }, topology: 'single' })).toMatchObject({
        code: 'OPTIONS_INVALID',
      });
      expect(instance.status).toBe('wait');
    });

    it('the URL of a node of a cluster says what to set', async () => {
      const [url = ''] = under.cluster.urls;
      expect(await refusal({ connection: { url } })).toEqual({
        code: 'TOPOLOGY_MISMATCH',
        message: expect.stringContaining("set topology to 'cluster'") as string,
      });
    });

    it('and a server that belongs to no cluster says so too', async () => {
      expect(await refusal({ topology: 'cluster' })).toEqual({
        code: 'TOPOLOGY_MISMATCH',
        message: expect.stringContaining("belongs to no Redis Cluster, and topology is 'cluster'") as string,
      });
    });
  });

  it('warns when a lease is too short for the cluster to replace a master', async () => {
    const warnings: string[] = [];
    const start = async (lease: '5s' | '6s') => {
      const module = await Test.createTestingModule({
        imports: [
          RedisReconcileModule.forRoot({
            ...FAST,
            ...{ consumerId: 'me', service: freshService(), lease, recovery: {} },
            connection: { cluster: under.cluster.urls },
          }),
        ],
      })
        .setLogger({ log() {}, error() {}, warn: (message: string) => void warnings.push(message) })
        .compile();
      Logger.overrideLogger({ log() {}, error() {}, warn: (message: string) => void warnings.push(message) });
      await module.init();
      await module.close();
      Logger.overrideLogger(false);
    };
    await start('6s');
    expect(warnings).toEqual([]);
    await start('5s');
    expect(warnings).toEqual([expect.stringMatching(/^lease \(5000 ms\) is shorter than cluster-node-timeout \+ 5 s/)]);
  });

  it('tells its health: masters known, subscribed and settled; and how its masters are', async () => {
    const module = await Test.createTestingModule({
      imports: [
        RedisReconcileModule.forRoot({
          ...{ consumerId: 'me', service: freshService() },
          ...FAST,
          connection: { cluster: under.cluster.urls },
        }),
        RedisReconcileHealthModule,
      ],
    }).compile();
    await module.init();
    expect(await module.get(RedisTopologyHealthIndicator).isHealthy()).toEqual({
      'redis-topology': { status: 'up', mode: 'producing', masters: 3, subscribed: 0, isSettled: true },
    });
    await module.close();
  });

  it('ignores calls about topology on a single node (B38)', async () => {
    const instance = await under.start({
      service: freshService(),
      options: { connection: { url: sharedRedisUrl() }, hints: hintsUnderTest() },
    });
    expect(await instance.service.resetTopology()).toEqual({
      ...{ topology: 'single', masters: 1, answering: 1, subscribed: 0, isSettled: true, reason: '' },
    });
  });
});
