import {
  backoffDelay,
  describeError,
  PollLoop,
  type Random,
  systemRandom,
  type TimeoutRegistry,
  type TypedEvents,
} from '@nest-baton/core';
import type { Logger } from '@nestjs/common';
import type { ClusterSource } from '../connecting/cluster-source.js';
import type { InstanceConnection } from '../connecting/instance-connection.js';
import { bounded } from '../connecting/command-connection.js';
import type { EventsMaster } from '../noticing/expiry-subscription.js';
import type { Partition } from '../partitions/partition.js';
import { ClusterNotSettledError, RedisUnavailableError } from '../redis-reconcile.errors.js';
import type { RedisReconcileEvents } from '../redis-reconcile.events.js';
import type { RedisReconcileMetrics } from '../redis-reconcile.metrics.js';
import type { ReachableNode } from './cluster-nodes.js';
import { evaluateSettled, ownerOfSlot, ownersIn, type Settled } from './cluster-view.js';
import { keySlot } from './key-slot.js';
import type { TopologyReport } from './topology-report.js';

/** Between two looks while the cluster is settled: a change is acted on within 5 s also when nobody tells of it. */
const CHECK_INTERVAL_MS = 2500;
/** While it is not. */
const RETRY = { baseMs: 250, factor: 2, capMs: 5000, jitter: 'equal' } as const;

/** What depends on who is master. */
export interface TopologyFollower {
  /** Masters whose events arrive. */
  readonly covered: number;
  /** Resolves when all of them are listened to, or have failed for now. */
  follow(masters: readonly EventsMaster[]): Promise<void>;
  /** Masters as anybody names them: not all may be followed yet. */
  expect(ids: readonly string[]): void;
}

export interface TopologyKeeperOptions {
  readonly name: string;
  readonly cluster: ClusterSource;
  readonly partitions: readonly Partition[];
  readonly commandTimeoutMs: number;
  readonly events: TypedEvents<RedisReconcileEvents>;
  readonly metrics: RedisReconcileMetrics;
  readonly registry: TimeoutRegistry | undefined;
  readonly random: Random;
  readonly logger: Logger;
  /** Another master serves the partition now. */
  readonly onMoved: (partition: Partition) => void;
}

/** `undefined` on a single node, where there is nothing to keep. */
export function topologyOf(
  { cluster, partitions }: InstanceConnection,
  options: Omit<TopologyKeeperOptions, 'cluster' | 'partitions' | 'random'>,
): TopologyKeeper | undefined {
  return cluster && new TopologyKeeper({ ...options, cluster, partitions, random: systemRandom });
}

/**
 * Knows who the masters are, and lets what depends on it follow.
 *
 * - Acts only on what all nodes that answer agree on: in the middle of a failover nothing is torn down.
 * - Looks every 2.5 s, and soon after commands failed or nodes came and went. Whoever serves a partition is noticed at each look, settled or not.
 * - Only `reset()` throws; what happens by itself is tried again, 250 ms to 5 s later.
 */
export class TopologyKeeper {
  private loop: PollLoop | undefined;
  private readonly slots: readonly number[];
  private readonly owners: (string | undefined)[] = [];
  private follower: TopologyFollower | undefined;
  private verdict: Settled = { isSettled: false, reason: 'nobody was asked yet' };
  private known: readonly string[] = [];
  private answering = 0;
  private followed = '';
  private following: Promise<void> = Promise.resolve();
  private failures = 0;

  constructor(private readonly options: TopologyKeeperOptions) {
    const { cluster } = options;
    this.slots = options.partitions.map(({ keys }) => keySlot(keys.stream));
    cluster.nodes.onLook((nodes) => this.consider(nodes));
  }

  get report(): TopologyReport {
    const { verdict, follower, known, answering } = this;
    return {
      topology: 'cluster',
      masters: known.length,
      answering,
      subscribed: follower?.covered ?? 0,
      isSettled: verdict.isSettled,
      reason: verdict.isSettled ? '' : verdict.reason,
    };
  }

  /** From now on `follower` follows. Resolves when it has done so for the first time, if the cluster is settled. Never throws. */
  async start(follower: TopologyFollower): Promise<void> {
    this.follower = follower;
    this.followed = '';
    await this.check();
    if (this.follower !== follower) return;
    const { name, registry, random, logger } = this.options;
    this.loop = new PollLoop({
      name: `baton:redis-reconcile:${name}:topology`,
      registry,
      random,
      pass: () => this.pass(),
      intervalMs: () => (this.failures === 0 ? CHECK_INTERVAL_MS : backoffDelay(this.failures, RETRY, random)),
      onError: (error) => logger.warn('looking at the cluster failed', { error: describeError(error) }),
    });
    this.loop.start();
  }

  /** Whoever serves what is known when this resolves. Never throws: then it is not known. */
  async check(): Promise<void> {
    await this.pass().catch((error: unknown) => this.options.logger.warn(describeError(error)));
  }

  async stop(): Promise<void> {
    this.follower = undefined;
    await this.loop?.stop();
    await this.following;
  }

  /** @throws ClusterNotSettledError: nothing was changed; RedisUnavailableError when no node answers. */
  async reset(): Promise<TopologyReport> {
    const { metrics, cluster } = this.options;
    const nodes = await this.asked();
    const { verdict } = this;
    if (!verdict.isSettled) {
      metrics.add('topology.resets', 1, 'not_settled');
      throw new ClusterNotSettledError(
        `The cluster at ${cluster.address} has not settled (${verdict.reason}; ${nodes.length} nodes answered): nothing was changed, call again later.`,
      );
    }
    await this.follow(verdict);
    return this.report;
  }

  private async pass(): Promise<void> {
    try {
      await this.asked();
      await this.following;
    } finally {
      this.failures = this.verdict.isSettled ? 0 : this.failures + 1;
    }
  }

  private async asked(): Promise<readonly ReachableNode[]> {
    const { cluster } = this.options;
    try {
      return await cluster.nodes.look();
    } catch (error) {
      this.verdict = { isSettled: false, reason: describeError(error) };
      this.answering = 0;
      throw new RedisUnavailableError(
        `No node of the cluster at ${cluster.address} answers (${cluster.lastProblem ?? describeError(error)}).`,
        { cause: error },
      );
    }
  }

  private consider(nodes: readonly ReachableNode[]): void {
    const views = nodes.map(({ view }) => view);
    const wasSettled = this.verdict.isSettled;
    const verdict = (this.verdict = evaluateSettled(views));
    this.known = verdict.isSettled ? verdict.masters : ownersIn(views);
    this.answering = this.known.filter((id) => views.some((view) => view.id === id)).length;
    this.noticeMoves(views);
    if (!verdict.isSettled && wasSettled)
      this.options.logger.warn('the cluster is not settled', { reason: verdict.reason });
    if (this.follower === undefined) return;
    if (verdict.isSettled && verdict.ownership !== this.followed) void this.follow(verdict);
    else this.follower.expect(this.known);
  }

  private noticeMoves(views: Parameters<typeof ownerOfSlot>[0]): void {
    const moved = this.options.partitions.filter((partition, i) => {
      const owner = ownerOfSlot(views, this.slots[i] ?? 0);
      const before = this.owners[i];
      if (owner === undefined) return false;
      this.owners[i] = owner;
      return before !== undefined && before !== owner;
    });
    if (moved.length === 0) return;
    this.options.logger.log('partitions have another master', { partitions: moved.map(({ index }) => index) });
    for (const partition of moved) this.options.onMoved(partition);
  }

  /** One after another, so that no master is subscribed to twice. */
  private follow({ masters, ownership }: Extract<Settled, { isSettled: true }>): Promise<void> {
    this.followed = ownership;
    this.following = this.following.then(async () => {
      await this.follower?.follow(masters.map((id) => this.masterOf(id)));
      this.options.metrics.add('topology.resets', 1, 'done');
      this.options.events.emit('topologyChanged', this.report);
    });
    return this.following;
  }

  private masterOf(id: string): EventsMaster {
    const { cluster, commandTimeoutMs } = this.options;
    return {
      id,
      name: id,
      dedicated: async () => cluster.dedicatedTo(await Promise.resolve(cluster.nodes.connectionTo(id))),
      call: async (command) => bounded(command(cluster.nodes.connectionTo(id)), commandTimeoutMs),
    };
  }
}
