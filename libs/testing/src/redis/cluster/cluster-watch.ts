import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '@nest-baton/core';
import { BackendFailedError, WaitTimeoutError } from '../../testing.errors.js';
import type { LocalClusterNode } from './cluster-node.js';
import { type ClusterView, entryOf, ownerOfSlot, unsettledReason } from './cluster-view.js';

export const SETTLE_TIMEOUT_MS = 20_000;
export const POLL_INTERVAL_MS = 40;

/** Asks the nodes that run what they believe, and waits until they agree. */
export class ClusterWatch {
  private isStopped = false;
  private readonly owners = new Set<string>();
  private readonly replaced = new Map<string, number>();

  constructor(readonly nodes: readonly LocalClusterNode[]) {}

  /** Whoever asks or waits gets an error from now on. */
  stop(): void {
    this.isStopped = true;
  }

  checkRunning(): void {
    if (this.isStopped) throw new BackendFailedError('The cluster is stopped.');
  }

  /** Of the nodes that run; one that dies while it is asked has none. */
  async views(): Promise<readonly ClusterView[]> {
    this.checkRunning();
    const running = this.nodes.filter(({ state }) => state === 'running');
    const answers = await Promise.all(running.map((node) => node.view().catch(() => undefined)));
    return answers.filter((view) => view !== undefined);
  }

  /** @param unmet what must hold besides, as a reason why it does not. */
  async settledWhen(unmet: (views: readonly ClusterView[]) => string | undefined, timeoutMs: number): Promise<void> {
    const deadline = systemClock.monotonic() + timeoutMs;
    for (;;) {
      const views = await this.views();
      const reason = this.silent(views) ?? unsettledReason(views) ?? unmet(views);
      if (reason === undefined) return this.remember(views);
      if (systemClock.monotonic() > deadline)
        throw new WaitTimeoutError(`The cluster had not settled after ${timeoutMs} ms: ${reason}.`);
      await sleep(POLL_INTERVAL_MS);
    }
  }

  /** When this node was last seen to have lost its slots. */
  replacedAt({ id }: LocalClusterNode): number {
    return this.replaced.get(id) ?? -Infinity;
  }

  owner(views: readonly ClusterView[], slot: number): LocalClusterNode {
    const id = ownerOfSlot(views, slot);
    if (id === undefined) throw new BackendFailedError(`No node that runs knows an owner of slot ${slot}.`);
    return this.node(id);
  }

  node(id: string): LocalClusterNode {
    const found = this.nodes.find((node) => node.id === id);
    if (found === undefined) throw new BackendFailedError(`No node of this cluster has the id ${id}.`);
    return found;
  }

  private silent(views: readonly ClusterView[]): string | undefined {
    const one = this.nodes.find(({ id, state }) => state === 'running' && !views.some((view) => view.id === id));
    return one === undefined ? undefined : `${one.name} does not answer`;
  }

  private remember(views: readonly ClusterView[]): void {
    for (const node of this.nodes) {
      const entry = entryOf(views, node.id);
      if (entry === undefined) continue;
      node.role = entry.masterId === undefined ? 'master' : 'replica';
      if (entry.slots.length > 0) this.owners.add(node.id);
      else if (this.owners.delete(node.id)) this.replaced.set(node.id, systemClock.monotonic());
    }
  }
}
