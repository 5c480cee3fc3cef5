import type { LimitColumn } from '../limiting/endpoint-limits.js';
import { EndpointInvalidError } from '../webhook-outbox.errors.js';

/** In which order an endpoint gets events that have an `orderKey`. */
export interface EndpointOrder {
  /**
   * `strict`: of the events of a key one after another, in the order in which they were committed; the next is sent when the one before has ended. `none`: as
   * they come, many at a time. It cannot be changed: of events that were sent before, nobody would know the order. Default `none`.
   */
  readonly order?: 'none' | 'strict';
  /**
   * With `order: 'strict'`, what becomes of the later events of a key when one has failed or is dead, was parked or has expired. `halt`: they wait until
   * somebody has replayed or abandoned it. `skip`: they are sent. Default `halt`.
   */
  readonly onDead?: 'halt' | 'skip';
}

export interface CheckedOrder {
  readonly order: 'none' | 'strict';
  /** `null` without an order. */
  readonly onDead: 'halt' | 'skip' | null;
}

/** Pure. @throws EndpointInvalidError */
export function checkOrder({ order = 'none', onDead }: EndpointOrder): CheckedOrder {
  const given: unknown = order;
  if (given !== 'none' && given !== 'strict') throw new EndpointInvalidError("order must be 'none' or 'strict'.");
  if (order === 'strict') return { order, onDead: checkOnDead(onDead) ?? 'halt' };
  if (onDead !== undefined) throw new EndpointInvalidError("onDead is for endpoints with order: 'strict'.");
  return { order, onDead: null };
}

/** Pure. @throws EndpointInvalidError */
export function checkOnDead(onDead: 'halt' | 'skip' | undefined): 'halt' | 'skip' | undefined {
  const given: unknown = onDead;
  if (given !== undefined && given !== 'halt' && given !== 'skip')
    throw new EndpointInvalidError("onDead must be 'halt' or 'skip'.");
  return onDead;
}

/** Column, its type and its value. */
export function orderColumns({ order, onDead }: CheckedOrder): readonly LimitColumn[] {
  return [
    { column: 'order_mode', type: 'text', value: order === 'none' ? null : order },
    { column: 'on_dead', type: 'text', value: onDead },
  ];
}
