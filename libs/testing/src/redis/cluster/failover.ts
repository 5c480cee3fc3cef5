import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, systemClock } from '@nest-baton/core';
import { BackendFailedError, WaitTimeoutError } from '../../testing.errors.js';
import type { LocalClusterNode } from './cluster-node.js';
import { type ClusterView, entryOf, replicasOf } from './cluster-view.js';
import { type ClusterWatch, POLL_INTERVAL_MS, SETTLE_TIMEOUT_MS } from './cluster-watch.js';

export interface FailoverOptions {
  /**
   * `default`: the master takes part, and nothing acknowledged is lost. `force`: without the master (dead or frozen), by a vote of the other
   * masters. `takeover`: without anybody's consent. Default `default`.
   */
  readonly mode?: 'default' | 'force' | 'takeover';
  /** Milliseconds until it gives up. Default 20000. */
  readonly timeoutMs?: number;
}

/** A server gives a manual failover up after 5 s without saying so. */
const ATTEMPT_MS = 5500;

/**
 * Promotes `id`, or a replica of it when it is a master, and resolves with the promoted one when the cluster has settled.
 *
 * @param nodeTimeoutMs masters vote once in two of these about the same master; asking sooner costs the whole attempt.
 */
export async function failOver(
  watch: ClusterWatch,
  id: string,
  { mode = 'default', timeoutMs = SETTLE_TIMEOUT_MS }: FailoverOptions,
  nodeTimeoutMs: number,
): Promise<LocalClusterNode> {
  const deadline = systemClock.monotonic() + timeoutMs;
  const left = () => Math.max(0, deadline - systemClock.monotonic());
  const views = await watch.views();
  const promoted = promotable(watch, views, id);
  const master = watch.node(entryOf(views, promoted.id)?.masterId ?? id);
  if (mode === 'default' && master.state !== 'running')
    throw new BackendFailedError(
      `${master.name} is ${master.state}: a failover without it needs 'force' or 'takeover'.`,
    );
  const mayVoteAt = mode === 'takeover' ? 0 : watch.replacedAt(master) + 2 * nodeTimeoutMs;
  await sleep(Math.max(0, Math.min(left(), mayVoteAt - systemClock.monotonic())));
  while (!(await attempt(watch, promoted, mode, Math.min(left(), ATTEMPT_MS))))
    if (left() === 0) throw new WaitTimeoutError(`${promoted.name} had not become a master after ${timeoutMs} ms.`);
  await outbid(watch, promoted);
  await watch.settledWhen(() => undefined, left());
  return promoted;
}

function promotable(watch: ClusterWatch, views: readonly ClusterView[], id: string): LocalClusterNode {
  if (entryOf(views, id)?.masterId !== undefined) return watch.node(id);
  const replicas = views.filter((view) => replicasOf(views, id).includes(view.id));
  const best = replicas.find(({ isReplicating }) => isReplicating) ?? replicas[0];
  if (best !== undefined) return watch.node(best.id);
  throw new BackendFailedError(`${watch.node(id).name} has no replica that runs.`);
}

async function attempt(
  watch: ClusterWatch,
  promoted: LocalClusterNode,
  mode: 'default' | 'force' | 'takeover',
  timeoutMs: number,
): Promise<boolean> {
  const refusal = await promoted
    .command('CLUSTER', 'FAILOVER', ...(mode === 'default' ? [] : [mode.toUpperCase()]))
    .then(
      () => undefined,
      (error: unknown) => error,
    );
  const deadline = systemClock.monotonic() + timeoutMs;
  for (;;) {
    watch.checkRunning();
    const view = await promoted.view();
    if ((entryOf([view], promoted.id)?.slots.length ?? 0) > 0) return true;
    // It may have become one by itself just before.
    if (refusal !== undefined)
      throw new BackendFailedError(`${promoted.name} refused: ${describeError(refusal)}`, { cause: refusal });
    if (systemClock.monotonic() > deadline) return false;
    await sleep(POLL_INTERVAL_MS);
  }
}

/**
 * A replica that is forced into office within seconds of its last election counts those votes again and takes over with that election's epoch
 * (seen with Redis 7.0). Nobody believes a claim below the old master's, for ever, so it is raised.
 */
async function outbid(watch: ClusterWatch, promoted: LocalClusterNode): Promise<void> {
  const views = await watch.views();
  const own = entryOf(views, promoted.id)?.epoch ?? 0;
  const highest = Math.max(...views.flatMap(({ entries }) => entries.map(({ epoch }) => epoch)));
  if (own < highest) await promoted.command('CLUSTER', 'BUMPEPOCH');
}
