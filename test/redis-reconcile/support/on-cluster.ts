import type { RedisReconcileOptions } from '@nest-baton/redis-reconcile';
import {
  type RedisCluster,
  type RedisClusterNode,
  type RedisClusterOptions,
  startRedisCluster,
} from '@nest-baton/testing';
import { Cluster } from 'ioredis';
import { freshService, type Instance, type InstanceSettings, startInstance } from './instance.js';

export const NODE_TIMEOUT_MS = 1000;
/** The default of the module in a cluster. */
export const PARTITIONS = 8;

export interface ClusterUnderTest {
  readonly cluster: RedisCluster;
  /** Sees all of it, as an operator does. */
  readonly admin: Cluster;
  start(settings: InstanceSettings & { readonly nodes?: readonly string[] }): Promise<Instance>;
}

/** For one suite: a cluster of its own, and instances on it that are closed after each test. */
export function clusterUnderTest(options: RedisClusterOptions = {}): ClusterUnderTest {
  const open: Instance[] = [];
  let cluster: RedisCluster | undefined;
  let admin: Cluster | undefined;

  beforeAll(async () => {
    // On a busy machine a node may be silent for long: replicas take over when a test says so, and not by themselves.
    const settings = { 'cluster-replica-no-failover': 'yes', ...options.settings };
    cluster = await startRedisCluster({ nodeTimeoutMs: NODE_TIMEOUT_MS, ...options, settings });
    admin = new Cluster([...cluster.nodes], {
      clusterRetryStrategy: () => 50,
      retryDelayOnFailover: 100,
      slotsRefreshTimeout: 1000,
      redisOptions: { commandTimeout: 3000, connectTimeout: 500, disconnectTimeout: 100, maxRetriesPerRequest: 1 },
    });
    admin.on('error', () => undefined);
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((instance) => instance.close()));
  });
  afterAll(async () => {
    admin?.disconnect();
    await cluster?.stop();
  });

  const must = <T>(one: T | undefined): T => {
    if (one === undefined) throw new Error('the cluster has not started');
    return one;
  };
  return {
    get cluster() {
      return must(cluster);
    },
    get admin() {
      return must(admin);
    },
    async start({ nodes = must(cluster).urls, ...settings }) {
      const ours = { connection: { cluster: nodes }, commandTimeout: '5s' } as const;
      const options: Partial<RedisReconcileOptions> = { ...ours, ...settings.options };
      const instance = await startInstance({ ...settings, options });
      open.push(instance);
      return instance;
    },
  };
}

/** From now on a replica of this master takes over when it dies. */
export async function letReplicasTakeOver(cluster: RedisCluster, master: RedisClusterNode): Promise<void> {
  for (const replica of await cluster.replicasOf(master))
    await cluster.command(replica, 'CONFIG', 'SET', 'cluster-replica-no-failover', 'no');
}

/** Whom each partition lies with. */
export function mastersOf(
  cluster: RedisCluster,
  service: string,
  partitions = PARTITIONS,
): Promise<RedisClusterNode[]> {
  return Promise.all(Array.from({ length: partitions }, (_, p) => cluster.ownerOf(`{${service}:${p}/${partitions}}`)));
}

/** A service whose partitions lie with every master: which one that is, the name decides. */
export async function serviceOnEveryMaster(cluster: RedisCluster): Promise<string> {
  const masters = await cluster.masters();
  for (;;) {
    const service = freshService();
    if (new Set(await mastersOf(cluster, service)).size === masters.length) return service;
  }
}

/** Connections of the server that are subscribed to a pattern. */
export async function subscribersOf(cluster: RedisCluster, node: RedisClusterNode, service: string): Promise<number> {
  const patterns = (await cluster.command(node, 'CLIENT', 'LIST', 'TYPE', 'pubsub')) as string;
  const all = patterns.split('\n').filter((line) => / psub=[1-9]/.test(line)).length;
  // A node that nobody of this service listens to has no such channel; others of the suite are closed by then.
  const heard = Number(
    await cluster.command(node, 'PUBLISH', `__keyspace@0__:{${service}:0/${PARTITIONS}}:lease:probe`, 'nothing'),
  );
  return Math.min(all, heard);
}
