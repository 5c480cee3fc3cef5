import { randomUUID } from 'node:crypto';
import {
  BackendFailedError,
  type RedisCluster,
  type RedisClusterNode,
  startRedisCluster,
  WaitTimeoutError,
} from '@nest-baton/testing';
import type { Bench, Use } from '../harness/index.js';
import type { TargetId } from './targets.js';

const NODE_TIMEOUT_MS = 1_000;
/** Between a kill and a cluster that agrees again, on a machine that is busy with other things. */
const FAILOVER_TIMEOUT_MS = 60_000;

/** Three masters with a replica each. On a busy machine a node may be silent for long: replicas take over when we say so, not by themselves. */
export async function startCluster(use: Use, { masters = 3, replicas = 1 } = {}): Promise<RedisCluster> {
  const settings = { 'cluster-replica-no-failover': 'yes' };
  return use(await startRedisCluster({ masters, replicas, nodeTimeoutMs: NODE_TIMEOUT_MS, settings }));
}

/** SIGKILL; resolves when a replica has taken over and all nodes that live agree about it. */
export async function killAndReplace(cluster: RedisCluster, master: RedisClusterNode): Promise<void> {
  await cluster.killMaster(master);
  await cluster.failover(master, { mode: 'force', timeoutMs: FAILOVER_TIMEOUT_MS });
}

/** The one that was killed comes back as a replica of the one that took its place. */
export async function bringBack(cluster: RedisCluster, node: RedisClusterNode): Promise<void> {
  await cluster.restartNode(node);
  await cluster.settled({ timeoutMs: FAILOVER_TIMEOUT_MS });
}

export interface Placed {
  readonly service: string;
  /** One for each master that it lies with. */
  readonly partitions: readonly number[];
}

/** A service of which every master has a partition: which one has which, the name decides. */
export async function placedOnEveryMaster(cluster: RedisCluster, count: number): Promise<Placed> {
  const masters = await cluster.masters();
  for (;;) {
    const service = `bench-${randomUUID()}`;
    const slots = Array.from({ length: count }, (_, p) => cluster.ownerOf(`{${service}:${p}/${count}}`));
    const owners = await Promise.all(slots);
    const partitions = masters.map((master) => owners.indexOf(master));
    if (!partitions.includes(-1)) return { service, partitions };
  }
}

/**
 * A section whose rows say that they were not measured where the machine was too slow for it: a cluster that did not come up, nodes that did
 * not agree in time. Anything else that breaks is an error of the section, as always.
 */
export function sectionOnCluster(
  bench: Bench<TargetId>,
  title: string,
  ids: readonly TargetId[],
  body: (use: Use) => Promise<void>,
): Promise<void> {
  return bench.section(title, async (use) => {
    try {
      await body(use);
    } catch (error) {
      if (!isForWantOfTime(error)) throw error;
      for (const id of ids) bench.notMeasured(id, error.message.split('\n')[0] ?? '');
    }
  });
}

function isForWantOfTime(error: unknown): error is Error {
  return error instanceof BackendFailedError || error instanceof WaitTimeoutError;
}
