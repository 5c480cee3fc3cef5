import type { Queryable } from '@nest-baton/core';
import type { ResolvedRetention } from './retention.options.js';

/** States of a delivery that is removed when it has been kept. */
export const REMOVABLE = ['delivered', 'failed', 'dead', 'abandoned', 'expired'] as const;

export type RemovableState = (typeof REMOVABLE)[number];

export interface Removed {
  /** False: nothing is left, or somebody else has it under their hands. */
  readonly isMore: boolean;
  readonly deliveries: Readonly<Partial<Record<RemovableState, number>>>;
  readonly events: number;
}

export interface RemovedLines {
  /** Where the next page begins; `undefined` after the last. */
  readonly next: string | undefined;
  readonly lines: number;
}

export interface RemovedEvents {
  /** Where the next page begins; `undefined` after the last. */
  readonly next: string | undefined;
  readonly events: number;
}

/** Before the first line. */
export const FIRST_LINE = '0';

/** Before the first event. */
export const FIRST_EVENT = '00000000-0000-0000-0000-000000000000';

/**
 * The statements that remove what has been kept, a batch each. Times are by the database's clock.
 *
 * - Any number of processes may clean up at once: each skips what another has locked.
 * - An event whose deliveries are still being made stays.
 * - Each locks the event, then its deliveries, and reads their states then: one that is being replayed is not old, and one that is being
 *   removed is gone for a replay. What is open is never touched.
 */
export class RetentionStore {
  constructor(
    private readonly on: Queryable,
    private readonly schema: string,
    private readonly retention: ResolvedRetention,
  ) {}

  /** Parked deliveries that nobody replayed in time; returns how many. */
  async expire(limit: number): Promise<number> {
    const { rowCount } = await this.on.query(
      `WITH due AS MATERIALIZED (
         SELECT id FROM ${this.schema}.webhook_deliveries
          WHERE state = 'parked' AND settled_at <= ${ago('$2')} ORDER BY settled_at LIMIT $1 FOR UPDATE SKIP LOCKED)
       UPDATE ${this.schema}.webhook_deliveries d SET state = 'expired', settled_at = clock_timestamp()
         FROM due WHERE d.id = due.id RETURNING d.id`,
      [limit, this.retention.parked],
    );
    return rowCount;
  }

  /**
   * Deliveries, their attempts, and events of which nothing is left and whose id need not stay taken. An event that is left without deliveries is
   * found by `removeLone`.
   *
   * One that was given up while others of its key wait for it is kept: without it they would be sent as if it had been delivered.
   *
   * Race: an outcome that comes late is added to the history of a delivery that is over. Whoever adds it writes the delivery's row too: before it is
   * locked here, and then it is another version than was read, and left to the next look; or after, and finds it gone.
   */
  async remove(limit: number): Promise<Removed> {
    const { rows } = await this.on.query<{ state: RemovableState | null; n: number; looked: number; events: number }>(
      `WITH due AS MATERIALIZED (
         SELECT d.id, d.event_id, d.version, k.state, k.ms
           FROM (VALUES ${REMOVABLE.map((state, nth) => `('${state}', $${nth + 2}::float8)`).join(', ')}) k(state, ms)
          CROSS JOIN LATERAL (
            SELECT r.id, r.event_id, r.xmin AS version FROM ${this.schema}.webhook_deliveries r
             WHERE r.state = k.state AND r.settled_at <= ${ago('k.ms')} AND NOT (${this.isWaitedFor('r')}) ORDER BY r.settled_at LIMIT $1) d
          LIMIT $1
       ), event AS MATERIALIZED (
         SELECT e.id, e.created_at FROM ${this.schema}.webhook_events e WHERE e.id IN (SELECT event_id FROM due)
          ORDER BY e.id FOR UPDATE SKIP LOCKED
       ), gone AS MATERIALIZED (
         SELECT d.id, d.state FROM ${this.schema}.webhook_deliveries d JOIN due ON due.id = d.id LEFT JOIN event ON event.id = d.event_id
          WHERE d.state = due.state AND d.xmin = due.version
            AND (event.id IS NOT NULL OR NOT EXISTS (SELECT FROM ${this.schema}.webhook_events e WHERE e.id = d.event_id))
          ORDER BY d.id FOR UPDATE OF d SKIP LOCKED
       ), history AS (
         DELETE FROM ${this.schema}.webhook_attempts a USING gone WHERE a.delivery_id = gone.id
       ), removed AS (
         DELETE FROM ${this.schema}.webhook_deliveries d USING gone WHERE d.id = gone.id
       ), over AS (
         DELETE FROM ${this.schema}.webhook_events e USING event
          WHERE e.id = event.id AND event.created_at <= ${ago('$2')} AND ${isFannedOut('e', this.schema)} AND NOT EXISTS (
            SELECT FROM ${this.schema}.webhook_deliveries d WHERE d.event_id = e.id AND d.id NOT IN (SELECT id FROM gone))
         RETURNING e.id
       ), ${handOffsOf('over', this.schema)}
       SELECT g.state, coalesce(g.n, 0) AS n, (SELECT count(*)::int FROM due) AS looked, (SELECT count(*)::int FROM over) AS events
         FROM (SELECT) one LEFT JOIN (SELECT state, count(*)::int AS n FROM gone GROUP BY state) g ON true`,
      [limit, ...REMOVABLE.map((state) => this.retention[state])],
    );
    const found = rows.flatMap(({ state, n }) => (state === null ? [] : [[state, n] as const]));
    const { looked = 0, events = 0 } = rows[0] ?? {};
    return { isMore: looked >= limit && found.length > 0, deliveries: Object.fromEntries(found), events };
  }

  /**
   * One page of the events, oldest first: those without a delivery, whose ids need not stay taken any more. Their deliveries were kept shorter,
   * or two statements at once removed the last ones, of which neither saw the other.
   */
  async removeLone(after: string, limit: number): Promise<RemovedEvents> {
    const { rows } = await this.on.query<{ last: string | null; isMore: boolean | null; events: number }>(
      `WITH page AS MATERIALIZED (
         SELECT id, created_at FROM ${this.schema}.webhook_events WHERE id > $1::uuid ORDER BY id LIMIT $2
       ), lone AS MATERIALIZED (
         SELECT e.id FROM ${this.schema}.webhook_events e JOIN page ON page.id = e.id
          WHERE page.created_at <= ${ago('$3')} AND ${isFannedOut('e', this.schema)}
            AND NOT EXISTS (SELECT FROM ${this.schema}.webhook_deliveries d WHERE d.event_id = e.id)
          ORDER BY e.id FOR UPDATE OF e SKIP LOCKED
       ), over AS (
         DELETE FROM ${this.schema}.webhook_events e USING lone WHERE e.id = lone.id RETURNING e.id
       ), ${handOffsOf('over', this.schema)}
       SELECT last.id AS last, last.created_at <= ${ago('$3')} AND (SELECT count(*) FROM page) = $2 AS "isMore",
              (SELECT count(*)::int FROM over) AS events
         FROM (SELECT) one LEFT JOIN (SELECT * FROM page ORDER BY id DESC LIMIT 1) last ON true`,
      [after, limit, this.retention.delivered],
    );
    const { last = null, isMore = false, events = 0 } = rows[0] ?? {};
    return { next: isMore === true && last !== null ? last : undefined, events };
  }

  /**
   * One page of the lines: those of which no delivery is left, so that the next event of the key begins a new one.
   *
   * Race: a producer that adds to the line. Who has locked it is left alone; who has added to it since it was read is found by the place it took.
   */
  async removeLines(after: string, limit: number): Promise<RemovedLines> {
    const { rows } = await this.on.query<{ last: string | null; looked: number; lines: number }>(
      `WITH page AS MATERIALIZED (
         SELECT id, last_seq FROM ${this.schema}.webhook_lines WHERE id > $1::bigint ORDER BY id LIMIT $2
       ), lone AS MATERIALIZED (
         SELECT l.id FROM ${this.schema}.webhook_lines l JOIN page ON page.id = l.id AND page.last_seq = l.last_seq
          WHERE NOT EXISTS (SELECT FROM ${this.schema}.webhook_deliveries d WHERE d.line_id = l.id)
          ORDER BY l.id FOR UPDATE OF l SKIP LOCKED
       ), removed AS (
         DELETE FROM ${this.schema}.webhook_lines l USING lone WHERE l.id = lone.id RETURNING l.id)
       SELECT (SELECT max(id) FROM page) AS last, (SELECT count(*)::int FROM page) AS looked, (SELECT count(*)::int FROM removed) AS lines`,
      [after, limit],
    );
    const { last = null, looked = 0, lines = 0 } = rows[0] ?? {};
    return { next: looked === limit && last !== null ? last : undefined, lines };
  }

  private isWaitedFor(delivery: string): string {
    return `${delivery}.line_id IS NOT NULL AND ${delivery}.state IN ('failed', 'dead', 'expired')
               AND EXISTS (SELECT FROM ${this.schema}.webhook_deliveries q WHERE q.line_id = ${delivery}.line_id AND q.state = 'queued')`;
  }
}

/** As SQL: all deliveries of the event have been made. */
export function isFannedOut(event: string, schema: string): string {
  return `NOT EXISTS (SELECT FROM ${schema}.webhook_hand_offs f WHERE f.event_id = ${event}.id AND f.kind = 'fan-out')`;
}

/** As SQL: removes the hand-offs of events. One that somebody has locked is removed by the next sweep, as nothing of its event is open. */
export function handOffsOf(events: string, schema: string): string {
  return `hand_off AS (
         DELETE FROM ${schema}.webhook_hand_offs h WHERE h.event_id IN (
           SELECT o.event_id FROM ${schema}.webhook_hand_offs o JOIN ${events} ON ${events}.id = o.event_id FOR UPDATE OF o SKIP LOCKED))`;
}

/** As SQL: so many milliseconds before now. */
export function ago(ms: string): string {
  return `statement_timestamp() - make_interval(secs => ${ms}::float8 / 1000)`;
}
