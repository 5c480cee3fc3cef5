import { type Clock, SharedLook } from '@nest-baton/core';
import { Partition } from '../partitions/partition.js';
import { PartitionKeys } from '../partitions/partition-keys.js';
import type { ResolvedRedisReconcileOptions } from '../redis-reconcile.options.js';
import { CommandConnection } from './command-connection.js';
import type { ConnectionSource } from './connection-source.js';
import { RedisLink } from './redis-link.js';
import { checkServer, fixPartitions } from './server-check.js';
import { SingleSource } from './single-source.js';

/** What an instance has of Redis: one connection for commands, and the partitions behind it. */
export class InstanceConnection {
  readonly source: ConnectionSource;
  readonly partitions: readonly Partition[];
  /** For what belongs to no partition. */
  readonly link: RedisLink;
  private readonly connection: CommandConnection;
  private readonly ping: SharedLook<void>;

  constructor(
    private readonly options: ResolvedRedisReconcileOptions,
    clock: Clock,
  ) {
    const { connection, commandTimeoutMs, service, recovery } = options;
    this.source = new SingleSource(connection, commandTimeoutMs);
    this.connection = new CommandConnection(this.source);
    this.link = new RedisLink(this.connection, commandTimeoutMs, clock);
    this.ping = new SharedLook(() => this.link.connect());
    this.partitions = Array.from(
      { length: options.partitions },
      (_, p) => new Partition(new PartitionKeys(service, p, recovery.dlqStream), this.link),
    );
  }

  /** @throws RedisUnavailableError, ServerUnsupportedError, PartitionsMismatchError. */
  async open(): Promise<void> {
    await checkServer(this.link);
    await this.fixPartitions();
  }

  /** What is stored of the instance must still be there after a flush. */
  fixPartitions(): Promise<void> {
    return fixPartitions(this.link, this.options.service, this.options.partitions);
  }

  /** @throws RedisUnavailableError; Error when there is no answer after `ms`. Callers at the same time share one question. */
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

  private get links(): readonly RedisLink[] {
    return [...new Set([this.link, ...this.partitions.map(({ link }) => link)])];
  }
}
