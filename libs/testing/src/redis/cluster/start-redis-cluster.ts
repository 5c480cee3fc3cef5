import { OptionsCheck } from '@nest-baton/core';
import { resolveBackend } from '../../backends/resolve-backend.js';
import { readTestingEnvironment } from '../../environment.js';
import { freeClusterPort } from '../../processes/free-port.js';
import { createTempFolder } from '../../processes/temp-folder.js';
import { findRedisBinary, REDIS_BINARY_REMEDY, type RedisBinary } from '../redis-binary.js';
import { LocalClusterNode } from './cluster-node.js';
import { formCluster } from './form-cluster.js';
import { RedisCluster } from './redis-cluster.js';

export interface RedisClusterOptions {
  /** 3 to 12. Fewer can vote no replica into office. Default 3. */
  readonly masters?: number;
  /** Of each master, 0 to 3. Default 1. */
  readonly replicas?: number;
  /**
   * Milliseconds of silence until the others take a node for dead, 500 to 2000. Smaller means faster failovers (about two of these after a kill),
   * and false ones on a busy machine. Default 1000.
   */
  readonly nodeTimeoutMs?: number;
  /** More settings, as in redis.conf, for every node; CONFIG SET through `command()` is for one. */
  readonly settings?: Readonly<Record<string, string | number>>;
}

interface ResolvedRedisClusterOptions {
  readonly masters: number;
  readonly replicas: number;
  readonly nodeTimeoutMs: number;
  readonly settings: Readonly<Record<string, string | number>>;
}

const DEFAULTS = Object.freeze({ masters: 3, replicas: 1, nodeTimeoutMs: 1000 });
const REFUSED = ['port', 'bind', 'dir', 'daemonize', 'requirepass', 'masterauth', 'cluster-enabled', 'cluster-port'];
REFUSED.push('cluster-config-file', 'cluster-node-timeout', 'cluster-announce-ip', 'cluster-announce-port');

const MAX_ATTEMPTS = 3;

/**
 * A Redis Cluster of one's own: always local processes, in about 2.5 s for six nodes. It resolves when the cluster has settled.
 *
 * @throws BackendUnavailableError when there is no way to a `redis-server`; BackendFailedError when one was found and failed;
 * OptionsInvalidError.
 */
export async function startRedisCluster(options: RedisClusterOptions = {}): Promise<RedisCluster> {
  const resolved = resolveRedisClusterOptions(options);
  const environment = readTestingEnvironment();
  return resolveBackend('Redis Cluster', [
    {
      name: 'local binaries',
      remedy: REDIS_BINARY_REMEDY,
      async open() {
        const binary = await findRedisBinary(environment);
        return 'reason' in binary ? binary : { backend: await startOnFreePorts(binary, resolved) };
      },
    },
  ]);
}

function resolveRedisClusterOptions(options: RedisClusterOptions): ResolvedRedisClusterOptions {
  const known = ['masters', 'replicas', 'nodeTimeoutMs', 'settings'] as const;
  const check = new OptionsCheck<RedisClusterOptions>('startRedisCluster()', options, known);
  const resolved = {
    masters: check.integer('masters', DEFAULTS.masters, { min: 3, max: 12 }),
    replicas: check.integer('replicas', DEFAULTS.replicas, { min: 0, max: 3 }),
    nodeTimeoutMs: check.integer('nodeTimeoutMs', DEFAULTS.nodeTimeoutMs, { min: 500, max: 2000 }),
    settings: options.settings ?? {},
  };
  for (const name of Object.keys(resolved.settings))
    check.rule(!REFUSED.includes(name), `settings.${name} is decided by startRedisCluster(), leave it out`);
  check.finish();
  return resolved;
}

/** Ports are reserved among runs of this kit; another program may still take one first, and then all nodes move to others. */
async function startOnFreePorts(binary: RedisBinary, options: ResolvedRedisClusterOptions): Promise<RedisCluster> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await startOnce(binary, options);
    } catch (error) {
      if (attempt === MAX_ATTEMPTS || !/address already in use/i.test((error as Error).message)) throw error;
    }
  }
}

async function startOnce(binary: RedisBinary, options: ResolvedRedisClusterOptions): Promise<RedisCluster> {
  const { masters, replicas, nodeTimeoutMs } = options;
  const folder = createTempFolder('redis-cluster');
  const nodes: LocalClusterNode[] = [];
  const cluster = new RedisCluster(nodes, binary.origin, nodeTimeoutMs, () => folder.remove());
  try {
    const settings = nodeSettings(options);
    for (let index = 0; index < masters * (1 + replicas); index++)
      nodes.push(new LocalClusterNode(await freeClusterPort(), binary, folder.path, settings));
    // All of them to an end: one that is still coming up could not be stopped for good.
    const outcomes = await Promise.allSettled(nodes.map((node) => node.up()));
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    await formCluster(nodes, masters);
    await cluster.settled();
    return cluster;
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

function nodeSettings({ nodeTimeoutMs, settings }: ResolvedRedisClusterOptions): readonly string[] {
  const all = {
    save: '',
    appendonly: 'no',
    'repl-diskless-sync': 'yes',
    'repl-diskless-sync-delay': 0,
    'repl-ping-replica-period': 1,
    'cluster-allow-replica-migration': 'no',
    ...settings,
    'cluster-enabled': 'yes',
    'cluster-config-file': 'nodes.conf',
    'cluster-node-timeout': nodeTimeoutMs,
  };
  return Object.entries(all).flatMap(([name, value]) => [`--${name}`, `${value}`]);
}
