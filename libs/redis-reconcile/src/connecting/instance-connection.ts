import { type Clock, errorCode, type Random, SharedLook } from '@nest-baton/core';
import type { Logger } from '@nestjs/common';
import type { EventsMaster } from '../noticing/expiry-subscription.js';
import { Partition } from '../partitions/partition.js';
import { PartitionKeys } from '../partitions/partition-keys.js';
import { TopologyMismatchError } from '../redis-reconcile.errors.js';
import type { ResolvedRedisReconcileOptions } from '../redis-reconcile.options.js';
import type { ResolvedSingle } from './check-connection.js';
import type { ReachableNode } from '../topology/cluster-nodes.js';
import { ClusterSource } from './cluster-source.js';
import { CommandConnection } from './command-connection.js';
import type { ConnectionSource } from './connection-source.js';
import { RedisLink } from './redis-link.js';
import { checkCluster, checkServer, fixPartitions, leaseWarning } from './server-check.js';
import { SingleSource } from './single-source.js';

/** What an instance has of Redis: one connection for commands, and the partitions behind it. */
export class InstanceConnection {
  readonly source: ConnectionSource;
  /** `undefined` on a single node. */
  readonly cluster: ClusterSource | undefined;
  readonly partitions: readonly Partition[];
  /** For what belongs to no partition. */
  readonly link: RedisLink;
  private readonly connection: CommandConnection;
  private readonly ping: SharedLook<void>;

  constructor(
    private readonly options: ResolvedRedisReconcileOptions,
    clock: Clock,
    random: Random,
    private readonly logger: Logger,
  ) {
    const { connection, commandTimeoutMs, service, recovery } = options;
    this.cluster =
      connection.topology === 'cluster'
        ? new ClusterSource(connection.connection, commandTimeoutMs, clock, random)
        : undefined;
    this.source = this.cluster ?? new SingleSource((connection as ResolvedSingle).connection, commandTimeoutMs);
    this.connection = new CommandConnection(this.source);
    this.link = new RedisLink(this.connection, commandTimeoutMs, clock);
    this.ping = new SharedLook(async () => {
      if (this.cluster === undefined) await this.link.connect();
      else await this.cluster.nodes.look();
    });
    this.partitions = Array.from({ length: options.partitions }, (_, p) => {
      const keys = new PartitionKeys(service, p, recovery.dlqStream);
      if (this.cluster === undefined) return new Partition(keys, this.link);
      // A part of a cluster may be away while the rest works: each partition has its own gaps.
      const commands = this.cluster.commandsOf(keys.stream);
      return new Partition(keys, new RedisLink(this.connection, commandTimeoutMs, clock, commands));
    });
  }

  /** @throws RedisUnavailableError, ServerUnsupportedError, TopologyMismatchError, PartitionsMismatchError. */
  async open(): Promise<void> {
    if (this.cluster === undefined) await checkServer(this.link);
    else await this.openCluster(this.cluster);
    await this.storePartitions();
  }

  /**
   * What is stored of the instance must still be there after a flush. Never throws because a part of a cluster is away: the other parts go on.
   *
   * @throws PartitionsMismatchError; RedisUnavailableError on a single node.
   */
  async fixPartitions(): Promise<void> {
    try {
      await this.storePartitions();
    } catch (error) {
      if (this.cluster === undefined || errorCode(error) !== 'REDIS_UNAVAILABLE') throw error;
    }
  }

  /** Where expiry events come from on a single node. */
  get onlyMaster(): EventsMaster {
    return {
      id: 'only',
      name: this.source.address,
      dedicated: () => this.source.dedicated(''),
      call: (command) => this.link.call(command),
    };
  }

  /** Some server answers. @throws RedisUnavailableError; Error when there is no answer after `ms`. Callers at the same time share one question. */
  answers(ms: number): Promise<void> {
    return this.ping.within(ms);
  }

  /** Commands work, wherever they go. */
  get isAvailable(): boolean {
    return this.links.every((link) => link.isAvailable);
  }

  /** Commands work again, somewhere, after some had not. */
  onGap(listener: () => void): void {
    for (const link of this.links) link.onGap(listener);
  }

  close(): void {
    this.connection.close();
  }

  private async openCluster({ nodes }: ClusterSource): Promise<void> {
    let answered: readonly ReachableNode[];
    try {
      // Not a command to any one node, which may be the one that is away.
      answered = await this.link.call(() => nodes.look());
    } catch (error) {
      const problem = this.source.lastProblem ?? '';
      if (errorCode(error) !== 'REDIS_UNAVAILABLE' || !problem.includes('cluster support disabled')) throw error;
      throw new TopologyMismatchError(
        `The server at ${this.source.address} belongs to no Redis Cluster, and topology is 'cluster': set connection.url, and topology to 'single'.`,
        { cause: error },
      );
    }
    const { commandTimeoutMs, leaseMs } = this.options;
    const warning = leaseWarning(leaseMs, await checkCluster(answered, commandTimeoutMs));
    if (warning !== undefined) this.logger.warn(warning);
  }

  private storePartitions(): Promise<void> {
    return fixPartitions(this.link, this.options.service, this.options.partitions);
  }

  private get links(): readonly RedisLink[] {
    return [...new Set([this.link, ...this.partitions.map(({ link }) => link)])];
  }
}
