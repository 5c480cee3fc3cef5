import { BackendFailedError } from '../../testing.errors.js';
import type { LocalClusterNode, RedisClusterNode } from './cluster-node.js';
import { entryOf, ownerOfSlot, replicasOf } from './cluster-view.js';
import { ClusterWatch, SETTLE_TIMEOUT_MS } from './cluster-watch.js';
import { failOver, type FailoverOptions } from './failover.js';
import { migrateSlots } from './slot-migration.js';
import { slotList, slotOf, type SlotOrKey, type SlotRange } from './slots.js';

export interface SlotMove {
  /** Slots of any owners; those that the target owns already are left out. */
  readonly slots: readonly number[] | SlotRange;
  readonly to: RedisClusterNode;
}

/**
 * A Redis Cluster of local processes, which may be broken. Nothing is written to disk but the nodes' knowledge of each other.
 *
 * - Every fault is over when its promise resolves, or says what it waited for.
 * - Faults may be mixed and run side by side, except two moves of the same slot.
 * - Nodes that are dead or frozen are neither asked nor waited for.
 */
export class RedisCluster {
  private readonly watch: ClusterWatch;

  /** @param origin where its binary was found: a folder, `REDIS_BIN_DIR`, `Debian packages`. */
  constructor(
    nodes: readonly LocalClusterNode[],
    readonly origin: string,
    /** The servers' `cluster-node-timeout`: how long a node is silent until the others take it for dead. */
    readonly nodeTimeoutMs: number,
    private readonly removeFolder: () => Promise<void>,
  ) {
    this.watch = new ClusterWatch(nodes);
  }

  /** In the order of creation, masters first: `new Cluster(cluster.nodes)` of ioredis takes them as they are. */
  get nodes(): readonly RedisClusterNode[] {
    return this.watch.nodes;
  }

  get urls(): readonly string[] {
    return this.watch.nodes.map(({ url }) => url);
  }

  slotOf(key: string): number {
    return slotOf(key);
  }

  /** Whom the cluster names at this moment; after a kill that is the dead one until its replica takes over. */
  async ownerOf(slotOrKey: SlotOrKey): Promise<RedisClusterNode> {
    return this.watch.owner(await this.watch.views(), slotOf(slotOrKey));
  }

  /** The masters that own slots, in the order of creation. */
  async masters(): Promise<readonly RedisClusterNode[]> {
    const views = await this.watch.views();
    return this.watch.nodes.filter(({ id }) => (entryOf(views, id)?.slots.length ?? 0) > 0);
  }

  /** The replicas of a master that can be reached. */
  async replicasOf(master: RedisClusterNode): Promise<readonly RedisClusterNode[]> {
    return replicasOf(await this.watch.views(), master.id).map((id) => this.watch.node(id));
  }

  /** One command to one node, by a connection of its own. @throws BackendFailedError at once when it is dead or frozen. */
  command(node: RedisClusterNode, ...args: readonly (string | number | Buffer)[]): Promise<unknown> {
    return this.watch.node(node.id).command(...args);
  }

  /**
   * Resolves when every node that runs says `cluster_state:ok`, all agree on the owner of each slot and on each other's roles, and every replica
   * is linked to its master.
   *
   * @throws WaitTimeoutError with what was still missing; default after 20 s.
   */
  async settled({ timeoutMs = SETTLE_TIMEOUT_MS }: { readonly timeoutMs?: number } = {}): Promise<void> {
    await this.watch.settledWhen(() => undefined, timeoutMs);
  }

  /** SIGKILL to whoever owns the slot or key, or to this node. Returns the node when its process is gone; its replica takes over later. */
  async killMaster(target: SlotOrKey | RedisClusterNode): Promise<RedisClusterNode> {
    const node = await this.targeted(target);
    if (node.state === 'dead')
      throw new BackendFailedError(
        `${node.name} is dead already and no replica has taken over: await settled() first.`,
      );
    await node.down();
    return node;
  }

  /**
   * Down, if it runs, and up again on the same port: with its place in the cluster and without data. A master that comes back before its replica
   * took over is an empty master. Resolves when it takes connections.
   */
  async restartNode(node: RedisClusterNode): Promise<void> {
    const local = this.watch.node(node.id);
    await local.down();
    this.watch.checkRunning();
    await local.up();
  }

  /** SIGSTOP: connections stay open and get no answer; after the node timeout the others take it for dead. */
  freeze(node: RedisClusterNode): void {
    this.watch.node(node.id).freeze();
  }

  thaw(node: RedisClusterNode): void {
    this.watch.node(node.id).thaw();
  }

  /**
   * Makes a replica the master: the one that is given, or one of the given master, or of the owner of the slot or key. Resolves with it when it
   * serves and the cluster has settled.
   *
   * @throws BackendFailedError when there is no replica to promote, or when `default` is asked of a master that cannot take part.
   */
  async failover(target: RedisClusterNode | SlotOrKey, options: FailoverOptions = {}): Promise<RedisClusterNode> {
    return failOver(this.watch, (await this.targeted(target)).id, options, this.nodeTimeoutMs);
  }

  /** Gives slots with all their keys to another master while clients go on. Resolves when the cluster has settled with them there. */
  async moveSlots({ slots, to }: SlotMove): Promise<void> {
    const target = this.watch.node(to.id);
    const views = await this.watch.views();
    const bySource = new Map<LocalClusterNode, number[]>();
    for (const slot of slotList(slots)) {
      const source = this.watch.owner(views, slot);
      if (source !== target) bySource.set(source, [...(bySource.get(source) ?? []), slot]);
    }
    for (const [source, owned] of bySource) {
      const others = this.watch.nodes.filter(
        (one) => one !== source && one !== target && entryOf(views, one.id)?.masterId === undefined,
      );
      await migrateSlots(
        owned,
        source,
        target,
        others.filter(({ state }) => state === 'running'),
      );
    }
    await this.watch.settledWhen((current) => {
      const astray = [...bySource.values()].flat().find((slot) => ownerOfSlot(current, slot) !== target.id);
      return astray === undefined ? undefined : `slot ${astray} is not with ${target.name}`;
    }, SETTLE_TIMEOUT_MS);
  }

  /** Ends all processes, dead, frozen or busy, and removes their folders. May be called twice. */
  async stop(): Promise<void> {
    this.watch.stop();
    await Promise.all(this.watch.nodes.map((node) => node.end()));
    await this.removeFolder();
  }

  private async targeted(target: SlotOrKey | RedisClusterNode): Promise<LocalClusterNode> {
    if (typeof target === 'object') return this.watch.node(target.id);
    return this.watch.owner(await this.watch.views(), slotOf(target));
  }
}
