import { MOST_AT_ONCE } from './subscribers.js';

/**
 * As SQL: the hand-off kept of each event whose deliveries a relay is to make, and, where events go to a queue, of each until its deliveries have settled:
 * in the same statement, so that no such event is without one.
 *
 * @param from events with the `size` of their audience, as they were inserted.
 * @param graceMs parameter; undefined where relays send whatever is due.
 * @param made deliveries that are made already of an event with a fan-out.
 */
export function keptHandOff(schema: string, from: string, graceMs: string | undefined, made = '0'): string {
  const isMany = `size > ${MOST_AT_ONCE}`;
  const columns = `INSERT INTO ${schema}.webhook_hand_offs (event_id, kind, next_at, fence, count)`;
  if (graceMs === undefined)
    return `hand_off AS (
         ${columns} SELECT event.id, 'fan-out', clock_timestamp(), 0, ${made} ${from} WHERE ${isMany})`;
  return `hand_off AS (
         ${columns}
         SELECT event.id, CASE WHEN ${isMany} THEN 'fan-out' ELSE 'sweep' END,
                CASE WHEN ${isMany} THEN clock_timestamp() ELSE clock_timestamp() + make_interval(secs => ${graceMs}::float8 / 1000) END, 0,
                CASE WHEN ${isMany} THEN ${made} ELSE 0 END ${from})`;
}
