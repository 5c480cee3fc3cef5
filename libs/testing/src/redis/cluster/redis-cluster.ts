import { describeError, systemClock } from '@nest-baton/core';
import { BackendFailedError, WaitTimeoutError } from '../../testing.errors.js';
import type { LocalClusterNode, RedisClusterNode } from './cluster-node.js';
import { type ClusterView, entryOf, ownerOfSlot, replicasOf, unsettledReason } from './cluster-view.js';
import { migrateSlots } from './slot-migration.js';
import { slotList, slotOf, type SlotOrKey, type SlotRange } from './slots.js';

export interface FailoverOptions {
  /**
   * `default`: the master takes part, and nothing acknowledged is lost. `force`: without the master (dead or frozen), by a vote of the other
   * masters. `takeover`: without anybody's consent. Default `default`.
   */
  readonly mode?: 'default' | 'force' | 'takeover';
  /** Milliseconds until it gives up. Default 20000. */
  readonly timeoutMs?: number;
}

export interface SlotMove {
  /** Slots of any owners; those that the target owns already are left out. */
  readonly slots: readonly number[] | SlotRange;
  readonly to: RedisClusterNode;
}

const SETTLE_TIMEOUT_MS = 20_000;
const POLL_INTERVAL_MS = 40;
/** A server gives a manual failover up after 5 s without saying so. */
const FAILOVER_ATTEMPT_MS = 5500;

/**
 * A Redis Cluster of local processes, which may be broken. Nothing is written to disk but the nodes' knowledge of each other.
 *
 * - Every fault is over when its promise resolves, or says what it waited for.
 * - Faults may be mixed and run side by side, except two moves of the same slot.
 * - Nodes that are dead or frozen are neither asked nor waited for.
 */
export class RedisCluster {
  readonly #nodes: readonly LocalClusterNode[];
  readonly #removeFolder: () => Promise<void>;
  #isStopped = false;

  /** @param origin where its binary was found: a folder, `REDIS_BIN_DIR`, `Debian packages`. */
  constructor(
    nodes: readonly LocalClusterNode[],
    readonly origin: string,
    /** The servers' `cluster-node-timeout`: how long a node is silent until the others take it for dead. */
    readonly nodeTimeoutMs: number,
    removeFolder: () => Promise<void>,
  ) {
    this.#nodes = nodes;
    this.#removeFolder = removeFolder;
  }

  /** In the order of creation, masters first: `new Cluster(cluster.nodes)` of ioredis takes them as they are. */
  get nodes(): readonly RedisClusterNode[] {
    return this.#nodes;
  }

  get urls(): readonly string[] {
    return this.#nodes.map(({ url }) => url);
  }

  slotOf(key: string): number {
    return slotOf(key);
  }

  /** Whom the cluster names at this moment; after a kill that is the dead one until its replica takes over. */
  async ownerOf(slotOrKey: SlotOrKey): Promise<RedisClusterNode> {
    return this.owner(await this.views(), slotOf(slotOrKey));
  }

  /** The masters that own slots, in the order of creation. */
  async masters(): Promise<readonly RedisClusterNode[]> {
    const views = await this.views();
    return this.#nodes.filter(({ id }) => (entryOf(views, id)?.slots.length ?? 0) > 0);
  }

  /** The replicas of a master that can be reached. */
  async replicasOf(master: RedisClusterNode): Promise<readonly RedisClusterNode[]> {
    return replicasOf(await this.views(), master.id).map((id) => this.node(id));
  }

  /** One command to one node, by a connection of its own. @throws BackendFailedError at once when it is dead or frozen. */
  command(node: RedisClusterNode, ...args: readonly (string | number | Buffer)[]): Promise<unknown> {
    return this.node(node.id).command(...args);
  }

  /**
   * Resolves when every node that runs says `cluster_state:ok`, all agree on the owner of each slot and on each other's roles, and every replica
   * is linked to its master.
   *
   * @throws WaitTimeoutError with what was still missing; default after 20 s.
   */
  async settled({ timeoutMs = SETTLE_TIMEOUT_MS }: { readonly timeoutMs?: number } = {}): Promise<void> {
    await this.settledWhen(() => undefined, timeoutMs);
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
    const local = this.node(node.id);
    await local.down();
    if (this.#isStopped) throw new BackendFailedError('The cluster is stopped.');
    await local.up();
  }

  /** SIGSTOP: connections stay open and get no answer; after the node timeout the others take it for dead. */
  freeze(node: RedisClusterNode): void {
    this.node(node.id).freeze();
  }

  thaw(node: RedisClusterNode): void {
    this.node(node.id).thaw();
  }

  /**
   * Makes a replica the master: the one that is given, or one of the given master, or of the owner of the slot or key. Resolves with it when it
   * serves and the cluster has settled.
   *
   * @throws BackendFailedError when there is no replica to promote, or when `default` is asked of a master that cannot take part.
   */
  async failover(
    target: RedisClusterNode | SlotOrKey,
    { mode = 'default', timeoutMs = SETTLE_TIMEOUT_MS }: FailoverOptions = {},
  ): Promise<RedisClusterNode> {
    const deadline = systemClock.monotonic() + timeoutMs;
    const views = await this.views();
    const promoted = this.promotable(
      views,
      typeof target === 'object' ? target.id : this.owner(views, slotOf(target)).id,
    );
    const master = this.#nodes.find(({ id }) => id === entryOf(views, promoted.id)?.masterId);
    if (mode === 'default' && master?.state !== 'running')
      throw new BackendFailedError(
        `${master?.name} is ${master?.state}: a failover without it needs 'force' or 'takeover'.`,
      );
    for (;;) {
      const left = deadline - systemClock.monotonic();
      const asked = promoted.command('CLUSTER', 'FAILOVER', ...(mode === 'default' ? [] : [mode.toUpperCase()]));
      // A refusal may mean that it has just become one.
      const refusal = await asked.then(
        () => undefined,
        (error: unknown) => error,
      );
      if (await this.becomesMaster(promoted, refusal === undefined ? Math.min(left, FAILOVER_ATTEMPT_MS) : 0)) break;
      if (refusal !== undefined)
        throw new BackendFailedError(`${promoted.name} refused: ${describeError(refusal)}`, { cause: refusal });
      if (systemClock.monotonic() > deadline)
        throw new WaitTimeoutError(`${promoted.name} had not become a master after ${timeoutMs} ms.`);
    }
    await this.outbid(promoted);
    await this.settled({ timeoutMs: Math.max(1, deadline - systemClock.monotonic()) });
    return promoted;
  }

  /** Gives slots with all their keys to another master while clients go on. Resolves when the cluster has settled with them there. */
  async moveSlots({ slots, to }: SlotMove): Promise<void> {
    const target = this.node(to.id);
    const views = await this.views();
    const bySource = new Map<LocalClusterNode, number[]>();
    for (const slot of slotList(slots)) {
      const source = this.owner(views, slot);
      if (source !== target) bySource.set(source, [...(bySource.get(source) ?? []), slot]);
    }
    for (const [source, owned] of bySource) {
      const others = this.#nodes.filter(
        (one) => one !== source && one !== target && entryOf(views, one.id)?.masterId === undefined,
      );
      await migrateSlots(
        owned,
        source,
        target,
        others.filter(({ state }) => state === 'running'),
      );
    }
    await this.settledWhen((current) => {
      const astray = [...bySource.values()].flat().find((slot) => ownerOfSlot(current, slot) !== target.id);
      return astray === undefined ? undefined : `slot ${astray} is not with ${target.name}`;
    }, SETTLE_TIMEOUT_MS);
  }

  /** Ends all processes, dead, frozen or busy, and removes their folders. May be called twice. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#nodes.map((node) => node.down()));
    await this.#removeFolder();
  }

  private async settledWhen(
    unmet: (views: readonly ClusterView[]) => string | undefined,
    timeoutMs: number,
  ): Promise<void> {
    const deadline = systemClock.monotonic() + timeoutMs;
    for (;;) {
      const views = await this.views();
      const reason = this.silent(views) ?? unsettledReason(views) ?? unmet(views);
      if (reason === undefined) return this.remember(views);
      if (systemClock.monotonic() > deadline)
        throw new WaitTimeoutError(`The cluster had not settled after ${timeoutMs} ms: ${reason}.`);
      await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS));
    }
  }

  /**
   * A replica that is forced into office within seconds of its last election counts those votes again and takes over with that election's epoch
   * (seen with Redis 7.0). Nobody believes a claim below the old master's, for ever, so it is raised.
   */
  private async outbid(promoted: LocalClusterNode): Promise<void> {
    const views = await this.views();
    const own = entryOf(views, promoted.id)?.epoch ?? 0;
    const highest = Math.max(...views.flatMap(({ entries }) => entries.map(({ epoch }) => epoch)));
    if (own < highest) await promoted.command('CLUSTER', 'BUMPEPOCH');
  }

  private async becomesMaster(node: LocalClusterNode, timeoutMs: number): Promise<boolean> {
    const deadline = systemClock.monotonic() + timeoutMs;
    do {
      const view = await node.view();
      if ((entryOf([view], node.id)?.slots.length ?? 0) > 0) return true;
      await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS));
    } while (systemClock.monotonic() < deadline);
    return false;
  }

  /** Of the nodes that run; one that dies while it is asked has none. */
  private async views(): Promise<readonly ClusterView[]> {
    if (this.#isStopped) throw new BackendFailedError('The cluster is stopped.');
    const running = this.#nodes.filter(({ state }) => state === 'running');
    const answers = await Promise.all(running.map((node) => node.view().catch(() => undefined)));
    return answers.filter((view) => view !== undefined);
  }

  private silent(views: readonly ClusterView[]): string | undefined {
    const one = this.#nodes.find(({ id, state }) => state === 'running' && !views.some((view) => view.id === id));
    return one === undefined ? undefined : `${one.name} does not answer`;
  }

  private remember(views: readonly ClusterView[]): void {
    for (const node of this.#nodes) {
      const entry = entryOf(views, node.id);
      if (entry !== undefined) node.role = entry.masterId === undefined ? 'master' : 'replica';
    }
  }

  private promotable(views: readonly ClusterView[], id: string): LocalClusterNode {
    if (entryOf(views, id)?.masterId !== undefined) return this.node(id);
    const replicas = views.filter((view) => replicasOf(views, id).includes(view.id));
    const best = replicas.find(({ isReplicating }) => isReplicating) ?? replicas[0];
    if (best !== undefined) return this.node(best.id);
    throw new BackendFailedError(`${this.node(id).name} has no replica that runs.`);
  }

  private async targeted(target: SlotOrKey | RedisClusterNode): Promise<LocalClusterNode> {
    return typeof target === 'object' ? this.node(target.id) : this.owner(await this.views(), slotOf(target));
  }

  private owner(views: readonly ClusterView[], slot: number): LocalClusterNode {
    const id = ownerOfSlot(views, slot);
    if (id === undefined) throw new BackendFailedError(`No node that runs knows an owner of slot ${slot}.`);
    return this.node(id);
  }

  private node(id: string): LocalClusterNode {
    const found = this.#nodes.find((node) => node.id === id);
    if (found === undefined) throw new BackendFailedError(`No node of this cluster has the id ${id}.`);
    return found;
  }
}
