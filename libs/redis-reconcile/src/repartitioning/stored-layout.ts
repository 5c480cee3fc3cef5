import { PartitionsMismatchError } from '../redis-reconcile.errors.js';
import type { RedisLink } from '../connecting/redis-link.js';
import { BEGIN } from '../scripts/layout/begin.js';
import { TURN } from '../scripts/layout/turn.js';

/** A change of the number of partitions. */
export interface LayoutChange {
  readonly from: number;
  readonly to: number;
  /** Grows with each change of the instance. */
  readonly epoch: string;
}

/**
 * - `never`: the number is the first one.
 * - `preparing`: the old number still counts, and its partitions are being sealed; ends with `draining`.
 * - `draining`: the new number counts, and the old partitions hold something; ends with `settled`.
 * - `settled`: nothing is left of the old ones.
 */
export type LayoutState = 'never' | 'preparing' | 'draining' | 'settled';

/** What is stored of an instance in Redis, for all its processes. */
export interface StoredLayout {
  readonly partitions: number;
  readonly state: LayoutState;
  /** The last change that counts; `undefined` where there was none. */
  readonly change: LayoutChange | undefined;
  /** Server time of that change, in ms. */
  readonly since: number;
}

/**
 * The number of partitions, stored when nobody has.
 *
 * @throws PartitionsMismatchError when another number is stored.
 */
export async function fixLayout(link: RedisLink, service: string, partitions: number): Promise<StoredLayout> {
  await link.call((redis) => redis.hsetnx(metaKey(service), 'partitions', partitions));
  const stored = await readLayout(link, service);
  // Flushed in between: it is stored again at the next look.
  if (stored === undefined) return { partitions, state: 'never', change: undefined, since: 0 };
  if (stored.partitions === partitions) return stored;
  throw new PartitionsMismatchError(
    `Service '${service}' has ${stored.partitions} partitions and cannot run with ${partitions}: set partitions to ${stored.partitions}, or change the number with repartition(${partitions}) from a process that runs with ${stored.partitions}.`,
  );
}

/** `undefined`: nothing is stored. */
export async function readLayout(link: RedisLink, service: string): Promise<StoredLayout | undefined> {
  const fields = ['partitions', 'layout', 'from', 'epoch', 'since'] as const;
  const [partitions, layout, from, epoch, since] = await link.call((redis) => redis.hmget(metaKey(service), ...fields));
  if (typeof partitions !== 'string') return undefined;
  const state = (layout ?? 'never') as LayoutState;
  const to = Number(partitions);
  const isOver = state === 'draining' || state === 'settled';
  const change = isOver ? { from: Number(from), to, epoch: epoch ?? '0' } : undefined;
  return { partitions: to, state, change, since: Number(since ?? 0) };
}

/** Begins a change to `to`, or finds the one that was begun. `isOther`: it is a change to another number. */
export async function beginChange(
  link: RedisLink,
  service: string,
  to: number,
): Promise<{ readonly state: LayoutState; readonly change: LayoutChange; readonly isOther: boolean }> {
  const answer = (await link.script(BEGIN, [metaKey(service)], [to])) as [LayoutState, string, string, string, string];
  const [state, from, wanted, epoch, isOther] = answer;
  return { state, change: { from: Number(from), to: Number(wanted), epoch }, isOther: isOther === '1' };
}

/** False: it is of the past. */
export async function turnChange(
  link: RedisLink,
  service: string,
  { epoch }: LayoutChange,
  to: 'draining' | 'settled',
): Promise<boolean> {
  return (await link.script(TURN, [metaKey(service)], [to, epoch])) === 1;
}

function metaKey(service: string): string {
  return `{${service}}:meta`;
}
