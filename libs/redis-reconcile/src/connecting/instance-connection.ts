import { type Clock, errorCode, type Random, SharedLook } from '@nest-baton/core';
import type { Logger } from '@nestjs/common';
import type { EventsMaster } from '../noticing/expiry-subscription.js';
import { Partition } from '../partitions/partition.js';
import { PartitionKeys } from '../partitions/partition-keys.js';
import { TopologyMismatchError } from '../redis-reconcile.errors.js';
import type { ResolvedRedisReconcileOptions } from '../redis-reconcile.options.js';
import type { ResolvedSingle } from './check-connection.js';
import type { ReachableNode } from '../topology/cluster-nodes.js';
import { fixLayout, readLayout, type StoredLayout } from '../repartitioning/stored-layout.js';
import { ClusterSource } from './cluster-source.js';
import { CommandConnection } from './command-connection.js';
import type { ConnectionSource } from './connection-source.js';
import { RedisLink } from './redis-link.js';
import { checkCluster, checkServer, leaseWarning } from './server-check.js';
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
  private readonly layouts = new Map<number, readonly Partition[]>();
  private stored: StoredLayout | undefined;

  constructor(
    private readonly options: ResolvedRedisReconcileOptions,
    private readonly clock: Clock,
    random: Random,
    private readonly logger: Logger,
  ) {
    const { connection, commandTimeoutMs } = options;
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
      await this.lookAtLayout();
    });
    this.partitions = this.partitionsOf(options.partitions);
  }

  /** Those of this instance if it has so many; the same ones at each call. */
  partitionsOf(count: number): readonly Partition[] {
    const known = this.layouts.get(count);
    if (known !== undefined) return known;
    const { service, recovery, commandTimeoutMs } = this.options;
    const partitions = Array.from({ length: count }, (_, p) => {
      const keys = new PartitionKeys(service, p, count, recovery.dlqStream);
      if (this.cluster === undefined) return new Partition(keys, this.link);
      // A part of a cluster may be away while the rest works: each partition has its own gaps.
      const commands = this.cluster.commandsOf(keys.stream);
      return new Partition(keys, new RedisLink(this.connection, commandTimeoutMs, this.clock, commands));
    });
    this.layouts.set(count, partitions);
    return partitions;
  }

  /** What is stored of the number of partitions, as this process has seen it last; `undefined` before it has. */
  get layout(): StoredLayout | undefined {
    return this.stored;
  }

  /** Why nothing is handed off or taken here any more; `undefined` while it is. */
  get refusal(): string | undefined {
    const { service, partitions } = this.options;
    if (this.stored === undefined || this.stored.partitions === partitions) return undefined;
    const now = this.stored.partitions;
    return `service '${service}' has ${now} partitions by now, and this process runs with ${partitions}: restart it with partitions set to ${now}`;
  }

  /** Those under the old number, while they may hold something. */
  get oldPartitions(): readonly Partition[] {
    const { stored } = this;
    return stored?.state === 'draining' && stored.change !== undefined ? this.partitionsOf(stored.change.from) : [];
  }

  /** Never throws because a part of a cluster is away: then it is as it was. @throws RedisUnavailableError on a single node. */
  async lookAtLayout(): Promise<StoredLayout | undefined> {
    await this.unlessAway(async () => {
      this.stored = (await readLayout(this.link, this.options.service)) ?? this.stored;
    });
    return this.stored;
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
  fixPartitions(): Promise<void> {
    return this.unlessAway(() => this.storePartitions());
  }

  private async unlessAway(act: () => Promise<void>): Promise<void> {
    try {
      await act();
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

  private async storePartitions(): Promise<void> {
    const { service, partitions } = this.options;
    this.stored = await fixLayout(this.link, service, partitions);
  }

  private get links(): readonly RedisLink[] {
    return [...new Set([this.link, ...this.partitions.map(({ link }) => link)])];
  }
}
