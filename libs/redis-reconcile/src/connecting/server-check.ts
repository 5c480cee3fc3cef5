import { isVersionAtLeast, ServerUnsupportedError } from '@nest-baton/core';
import type { RedisCommander } from 'ioredis';
import { TopologyMismatchError } from '../redis-reconcile.errors.js';
import { clusterInfoField } from '../topology/cluster-view.js';
import type { ReachableNode } from '../topology/cluster-nodes.js';
import { bounded } from './command-connection.js';
import type { RedisLink } from './redis-link.js';

/** XPENDING with IDLE, exclusive ranges. */
const MINIMUM = '6.2';
/** What a cluster needs after its node timeout until a replica serves. */
const ELECTION_MS = 5000;

/** @throws ServerUnsupportedError below Redis 6.2; TopologyMismatchError when it belongs to a cluster; RedisUnavailableError when it does not answer. */
export async function checkServer(link: RedisLink): Promise<void> {
  const info = await link.call((redis) => redis.info('server'));
  checkVersion(info);
  if (clusterInfoField(info, 'redis_mode') === 'cluster')
    throw new TopologyMismatchError(
      "This server belongs to a Redis Cluster, and topology is 'single': set topology to 'cluster', or connection.cluster to some of its nodes.",
    );
}

/**
 * Those that answer; whoever does not is looked at when it does.
 *
 * @returns the longest silence after which the cluster takes a master for dead, in milliseconds; `undefined` where nobody tells.
 * @throws ServerUnsupportedError below Redis 6.2.
 */
export async function checkCluster(nodes: readonly ReachableNode[], timeoutMs: number): Promise<number | undefined> {
  const answers = await Promise.all(
    nodes.map(async ({ redis }) => {
      const info = await bounded(redis.info('server'), timeoutMs).catch(() => undefined);
      return { info, nodeTimeoutMs: await nodeTimeout(redis, timeoutMs) };
    }),
  );
  for (const { info } of answers) if (info !== undefined) checkVersion(info);
  const timeouts = answers.flatMap(({ nodeTimeoutMs }) => (nodeTimeoutMs === undefined ? [] : [nodeTimeoutMs]));
  return timeouts.length === 0 ? undefined : Math.max(...timeouts);
}

/** Why owners may lose what they own when a master fails, or `undefined`. Pure. */
export function leaseWarning(leaseMs: number, nodeTimeoutMs: number | undefined): string | undefined {
  if (nodeTimeoutMs === undefined || leaseMs >= nodeTimeoutMs + ELECTION_MS) return undefined;
  return `lease (${leaseMs} ms) is shorter than cluster-node-timeout + 5 s (${nodeTimeoutMs + ELECTION_MS} ms): when a master fails, the work it kept track of changes owners`;
}

async function nodeTimeout(redis: RedisCommander, timeoutMs: number): Promise<number | undefined> {
  try {
    const reply = await bounded(redis.config('GET', 'cluster-node-timeout'), timeoutMs);
    const ms = Number(Object.values(reply as object).at(-1));
    return Number.isFinite(ms) ? ms : undefined;
  } catch {
    // CONFIG is not for everybody.
    return undefined;
  }
}

function checkVersion(info: string): void {
  const version = clusterInfoField(info, 'redis_version') ?? '';
  if (!isVersionAtLeast(version, MINIMUM))
    throw new ServerUnsupportedError(
      `RedisReconcileModule needs Redis ${MINIMUM} or newer, and this server is ${version === '' ? 'of an unknown version' : version}.`,
    );
}
