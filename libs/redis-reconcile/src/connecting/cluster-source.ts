import { type Clock, type Random } from '@nest-baton/core';
import { Cluster, type ClusterOptions, type Redis, type RedisCommander, type RedisOptions } from 'ioredis';
import { ClusterNodes } from '../topology/cluster-nodes.js';
import { keySlot } from '../topology/key-slot.js';
import {
  type ClusterNodeAddress,
  type ConnectionSource,
  reconnectDelay,
  settingsOfAll,
  settingsOfDedicated,
} from './connection-source.js';
import { withPatience } from './patience.js';

/**
 * Connections to a cluster: the driver's pool for commands, and connections of their own to single masters.
 *
 * - The driver follows MOVED and ASK and waits out TRYAGAIN and CLUSTERDOWN, since then nothing was executed; a command whose connection broke is
 *   never sent again.
 */
export class ClusterSource implements ConnectionSource {
  readonly topology = 'cluster';
  readonly setting = 'connection.cluster (BATON_REDIS_RECONCILE_CLUSTER)';
  readonly database = 0;
  readonly nodes: ClusterNodes;
  private readonly client: Cluster;
  private problem: string | undefined;

  constructor(
    private readonly connection:
      { readonly cluster: readonly (string | ClusterNodeAddress)[] } | { readonly instance: Cluster },
    private readonly commandTimeoutMs: number,
    clock: Clock,
    random: Random,
  ) {
    this.client = this.create();
    this.client.on('+node', (node: Redis) => withPatience(node, commandTimeoutMs));
    this.client.on('error', () => undefined);
    this.client.on('node error', (error: Error) => (this.problem = error.message));
    this.client.on('ready', () => (this.problem = undefined));
    this.nodes = new ClusterNodes(this.client, commandTimeoutMs, () => clock.monotonic(), random);
  }

  get lastProblem(): string | undefined {
    return this.problem;
  }

  get address(): string {
    const nodes = 'cluster' in this.connection ? startupNodes(this.connection.cluster).nodes : undefined;
    return nodes === undefined ? 'the given cluster' : nodes.map(({ host, port }) => `${host}:${port}`).join(',');
  }

  commands(): Cluster {
    return this.client;
  }

  commandsOf(key: string): RedisCommander {
    const slot = keySlot(key);
    const { client } = this;
    const sendCommand: Cluster['sendCommand'] = (command, stream) => {
      const routed = command as unknown as { getSlot(): number | null; slot: number };
      if (routed.getSlot() === null) routed.slot = slot;
      return client.sendCommand(command, stream);
    };
    return Object.create(client, { sendCommand: { value: sendCommand } }) as RedisCommander;
  }

  async dedicated(key: string): Promise<Redis> {
    return this.dedicatedTo(await this.nodes.masterOf(keySlot(key)));
  }

  /** To the node that this connection of the pool leads to. */
  dedicatedTo(pooled: Redis): Redis {
    const redis = pooled.duplicate({
      ...settingsOfDedicated(this.commandTimeoutMs),
      commandTimeout: undefined,
      socketTimeout: undefined,
      readOnly: false,
    });
    redis.on('error', () => undefined);
    return redis;
  }

  beside({ options }: Redis): Redis {
    return this.nodes.at(options.host, options.port);
  }

  suspect(): void {
    this.nodes.suspect();
  }

  close(): void {
    this.nodes.stop();
    this.client.disconnect();
  }

  private create(): Cluster {
    const timeoutMs = this.commandTimeoutMs;
    const { enableOfflineQueue: _, ...ofAll } = settingsOfAll(timeoutMs);
    const ofNodes: RedisOptions = { ...ofAll, commandTimeout: undefined, socketTimeout: undefined };
    const settings: ClusterOptions = {
      lazyConnect: true,
      enableReadyCheck: false,
      enableAutoPipelining: false,
      scaleReads: 'master',
      clusterRetryStrategy: reconnectDelay,
      slotsRefreshTimeout: Math.min(timeoutMs, 1000),
      // Its command may have been executed before the connection broke.
      retryDelayOnFailover: 0,
      retryDelayOnClusterDown: 100,
      retryDelayOnTryAgain: 100,
    };
    if ('instance' in this.connection) {
      const { instance } = this.connection;
      return instance.duplicate([], {
        ...settings,
        redisOptions: { ...instance.options.redisOptions, ...ofNodes },
      });
    }
    const { nodes, credentials } = startupNodes(this.connection.cluster);
    // By the name that its certificate has, not by its address.
    const dnsLookup: ClusterOptions['dnsLookup'] = (host, callback) => callback(null, host);
    return new Cluster([...nodes], {
      ...settings,
      ...(credentials.tls === undefined ? {} : { dnsLookup }),
      redisOptions: { ...credentials, ...ofNodes },
    });
  }
}

/** Pure. Nodes that are found later are taken to have the credentials of the first. */
function startupNodes(given: readonly (string | ClusterNodeAddress)[]): {
  readonly nodes: readonly Required<ClusterNodeAddress>[];
  readonly credentials: Pick<RedisOptions, 'username' | 'password' | 'tls'>;
} {
  const urls = given.flatMap((node) => (typeof node === 'string' ? [new URL(node)] : []));
  const [first] = urls;
  const credentials: Pick<RedisOptions, 'username' | 'password' | 'tls'> = {};
  if (first !== undefined && first.username !== '') credentials.username = decodeURIComponent(first.username);
  if (first !== undefined && first.password !== '') credentials.password = decodeURIComponent(first.password);
  if (first?.protocol === 'rediss:') credentials.tls = {};
  return {
    credentials,
    nodes: given.map((node) => {
      if (typeof node !== 'string') return { host: node.host, port: node.port ?? 6379 };
      const { hostname, port } = new URL(node);
      return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(port || 6379) };
    }),
  };
}
