import { backoffDelay, type Random } from '@nest-baton/core';
import type { Cluster, Redis } from 'ioredis';
import { bounded } from '../connecting/command-connection.js';
import { type ClusterView, clusterView, ownerOfSlot } from './cluster-view.js';

/** A node that answered, by the connection over which it did. */
export interface ReachableNode {
  readonly view: ClusterView;
  readonly redis: Redis;
}

/** A node that takes longer is left out: it may be frozen, and the others know. */
const ANSWER_TIMEOUT_MS = 1000;
const SUSPICION = { baseMs: 250, factor: 2, capMs: 5000, jitter: 'equal' } as const;
/** Without suspicion for so long the next one is acted on at once. */
const CALM_MS = 10_000;

/**
 * Asks the nodes of a cluster what they believe.
 *
 * - Asks all nodes that the driver knows, and makes the driver learn of others for the next time.
 * - `suspect()` asks soon: 250 ms later, and less often while suspicions go on.
 */
export class ClusterNodes {
  private looking: Promise<readonly ReachableNode[]> | undefined;
  private last: readonly ReachableNode[] = [];
  private readonly listeners = new Set<(nodes: readonly ReachableNode[]) => void>();
  private suspicion: NodeJS.Timeout | undefined;
  private suspicions = 0;
  private suspectedAt = -Infinity;
  private isStopped = false;

  constructor(
    private readonly cluster: Cluster,
    private readonly commandTimeoutMs: number,
    private readonly now: () => number,
    private readonly random: Random,
  ) {
    cluster.on('+node', () => this.suspect());
    cluster.on('-node', () => this.suspect());
  }

  /** Runs after each look, whoever asked for it. */
  onLook(listener: (nodes: readonly ReachableNode[]) => void): void {
    this.listeners.add(listener);
  }

  /** Callers at the same time share one look. @throws Error when no node answers. */
  look(): Promise<readonly ReachableNode[]> {
    return (this.looking ??= this.ask().finally(() => (this.looking = undefined)));
  }

  /** Whoever owns the slot, by the newest word of all. @throws Error when that is nobody, or nobody who can be reached. */
  async masterOf(slot: number): Promise<Redis> {
    const nodes = await this.look();
    const owner = ownerOfSlot(
      nodes.map(({ view }) => view),
      slot,
    );
    return this.connectionTo(owner ?? `(none: nobody owns slot ${slot})`);
  }

  /** To a node that answered the last look. @throws Error when it did not. */
  connectionTo(id: string): Redis {
    const node = this.last.find(({ view }) => view.id === id);
    if (node === undefined) throw new Error(`node ${id} cannot be reached`);
    return node.redis;
  }

  /** A connection for commands to the node at an address, by which we came to it. */
  at(host: string | undefined, port: number | undefined): Redis {
    const redis = this.cluster.nodes('all').find(({ options }) => options.host === host && options.port === port);
    if (redis === undefined) throw new Error(`node ${host}:${port} is not of the cluster any more`);
    return redis;
  }

  suspect(): void {
    if (this.isStopped || this.suspicion !== undefined || this.cluster.status === 'wait') return;
    const now = this.now();
    if (now - this.suspectedAt > CALM_MS) this.suspicions = 0;
    this.suspectedAt = now;
    this.suspicions++;
    this.suspicion = setTimeout(
      () => {
        this.suspicion = undefined;
        this.look().catch(() => undefined);
      },
      backoffDelay(this.suspicions, SUSPICION, this.random),
    );
    this.suspicion.unref();
  }

  stop(): void {
    this.isStopped = true;
    clearTimeout(this.suspicion);
  }

  private async ask(): Promise<readonly ReachableNode[]> {
    const timeoutMs = Math.min(this.commandTimeoutMs, ANSWER_TIMEOUT_MS);
    const known = this.cluster.nodes('all');
    // Its answer comes too late for this look: nodes that are new are asked in the next, of which the driver's event tells.
    if (!this.isStopped) this.cluster.refreshSlotsCache();
    const answers = await Promise.all(
      known.map(async (redis): Promise<ReachableNode | undefined> => {
        try {
          const both = Promise.all([redis.cluster('NODES') as Promise<string>, redis.cluster('INFO')]);
          const [nodes, info] = await bounded(both, timeoutMs);
          return { redis, view: clusterView(nodes, info) };
        } catch {
          return undefined;
        }
      }),
    );
    const nodes = answers.filter((answer) => answer !== undefined);
    if (nodes.length === 0) throw new Error('no node of the cluster answers');
    this.last = nodes;
    for (const listener of this.listeners) listener(nodes);
    return nodes;
  }
}
