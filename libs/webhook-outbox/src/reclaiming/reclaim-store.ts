import type { Queryable } from '@nest-baton/core';
import { isProbeDue } from '../claiming/claim-store.js';
import { boundsIn } from '../claiming/due-bounds.js';
import type { AttemptOutcome, DeliveryNames } from '../delivering/delivery.js';

export interface ReclaimedDelivery extends DeliveryNames {
  readonly state: 'ready' | 'dead';
  readonly attempts: number;
  readonly outcome: AttemptOutcome | null;
  readonly reason: 'exhausted' | 'crash-loop';
  readonly status: number | null;
  readonly error: string | null;
  readonly lineId: string | null;
}

export interface Reclaimed {
  readonly deliveries: readonly ReclaimedDelivery[];
  /** Something is due for an active endpoint, as far as the given bounds can tell. */
  readonly isAnyDue: boolean;
  /** A due delivery waits that must be claimed alone. */
  readonly isSuspectWaiting: boolean;
  readonly isProbeDue: boolean;
  /** Deliveries of an event wait to be made. */
  readonly isFanOutDue: boolean;
  /** Open deliveries wait for endpoints that are not active. */
  readonly isAsideDue: boolean;
  /** Deliveries wait for their turn. */
  readonly isAnyQueued: boolean;
}

/** How many deliveries were put aside, by what they are now. */
export interface PutAside {
  readonly parked: number;
  readonly abandoned: number;
}

/** After so many lost leases in a row nobody tries again: sending this delivery ends its process. */
const DEAD_AFTER = 10;

/** Rows that one statement takes back or puts aside. */
export const BATCH = 1_000;

/** Leases that ended so long before a look and were not found are left to a full one. */
const MARGIN = '5 s';

export interface DeliveryCounts {
  readonly lagMs: number;
  readonly byState: readonly { readonly state: string; readonly count: number }[];
}

export class ReclaimStore {
  /** Leases that ended before were taken back, so their entries in the index need not be walked again; the database's time, as text. */
  private seenUntil: string | undefined;

  constructor(
    private readonly on: Queryable,
    private readonly schema: string,
  ) {}

  /**
   * Takes back leases that expired, each counted as a loss. A request that was started under the lease has the outcome `unknown`, here and in
   * the history; when it
   * was the last of the schedule, or the tenth loss in a row, the delivery is dead. Skips rows that their owner is settling at this moment:
   * whoever holds the row's lock first wins, and the other finds it changed. Looks behind what earlier calls have seen only when `isFull`. Tells also what else there is to do;
   * what is due, from the given bounds on (as of `Claims.dueBounds`).
   */
  async reclaim(maxAttempts: number, isFull: boolean, dueBounds?: ReadonlyMap<string, number>): Promise<Reclaimed> {
    const { rows } = await this.on.query<
      ReclaimedDelivery & Omit<Reclaimed, 'deliveries'> & { readonly seenUntil: string }
    >(
      `WITH expired AS (
         SELECT id FROM ${this.schema}.webhook_deliveries
          WHERE state = 'leased' AND lease_until < statement_timestamp() AND lease_until >= $3
          ORDER BY id LIMIT ${BATCH} FOR UPDATE SKIP LOCKED
       ), taken AS (
         UPDATE ${this.schema}.webhook_deliveries d
            SET state = n.state, reason = n.reason, lease_losses = d.lease_losses + 1, lease_until = NULL, next_at = clock_timestamp(),
                settled_at = CASE n.state WHEN 'dead' THEN clock_timestamp() END
           FROM expired x JOIN ${this.schema}.webhook_deliveries o ON o.id = x.id
           LEFT JOIN ${this.schema}.webhook_endpoints p ON p.id = o.endpoint_id
          CROSS JOIN LATERAL (SELECT coalesce(cardinality(p.schedule_ms) + 1, $1::int) AS attempts) most
          CROSS JOIN LATERAL (
            SELECT CASE WHEN o.attempts >= most.attempts OR o.lease_losses + 1 >= ${DEAD_AFTER} THEN 'dead' ELSE 'ready' END AS state,
                   CASE WHEN o.attempts >= most.attempts THEN 'exhausted' WHEN o.lease_losses + 1 >= ${DEAD_AFTER} THEN 'crash-loop'
                        ELSE o.reason END AS reason) n
          WHERE d.id = x.id
         RETURNING d.*
       ), logged AS (
         INSERT INTO ${this.schema}.webhook_attempts (delivery_id, attempt, started_at, outcome, reason, is_late)
         SELECT id, attempts, started_at, 'unknown', 'lease-lost', false FROM taken WHERE started_at IS NOT NULL ORDER BY id
       ), ${boundsIn('$4', '$5')}
       SELECT t.id, t.event_id AS "outboxId", t.endpoint_id AS "endpointId", t.state, t.attempts, t.last_outcome AS outcome, t.reason,
              t.last_status AS status, t.last_error AS error, t.line_id AS "lineId", e.dedupe_key AS "eventId", e.type, e.tenant,
              s.*
         FROM (SELECT $4::uuid[] IS NULL OR EXISTS (${this.due()}) AS "isAnyDue",
                      EXISTS (SELECT FROM ${this.schema}.webhook_deliveries
                               WHERE state = 'ready' AND lease_losses >= 2 AND next_at <= statement_timestamp()) AS "isSuspectWaiting",
                      (statement_timestamp() - interval '${MARGIN}')::text AS "seenUntil",
                      EXISTS (SELECT FROM ${this.schema}.webhook_endpoint_states s WHERE ${isProbeDue('s', this.schema)}) AS "isProbeDue",
                      EXISTS (SELECT FROM ${this.schema}.webhook_hand_offs
                               WHERE kind = 'fan-out' AND next_at <= statement_timestamp()) AS "isFanOutDue",
                      EXISTS (SELECT FROM ${this.schema}.webhook_deliveries WHERE state = 'queued') AS "isAnyQueued",
                      $2::bool AND EXISTS (SELECT FROM ${this.schema}.webhook_endpoints e WHERE ${this.isAsideDue('e')}) AS "isAsideDue") s
         LEFT JOIN (taken t JOIN ${this.schema}.webhook_events e ON e.id = t.event_id) ON true`,
      [
        maxAttempts,
        isFull,
        isFull || this.seenUntil === undefined ? '-infinity' : this.seenUntil,
        dueBounds === undefined ? null : [...dueBounds.keys()],
        dueBounds === undefined ? null : [...dueBounds.values()],
      ],
    );
    // Fewer than a batch: nothing expired before is left, but for rows that somebody has locked at this moment.
    if (rows.length < BATCH) this.seenUntil = rows[0]?.seenUntil ?? undefined;
    return {
      deliveries: rows.filter(({ id }) => id !== null),
      isAnyDue: rows[0]?.isAnyDue === true,
      isSuspectWaiting: rows[0]?.isSuspectWaiting === true,
      isProbeDue: rows[0]?.isProbeDue === true,
      isFanOutDue: rows[0]?.isFanOutDue === true,
      isAsideDue: rows[0]?.isAsideDue === true,
      isAnyQueued: rows[0]?.isAnyQueued === true,
    };
  }

  /**
   * Puts aside open deliveries, which nobody holds, of endpoints that are disabled (`parked`) or deleted (`abandoned`; what was parked before, too), a
   * batch at a time, late commits of producers that began before included; returns how many, of each.
   *
   * Race: an endpoint that is enabled at this moment. Its row is locked, so whoever enables it comes before, and nothing is put aside, or
   * after, and finds it parked.
   */
  async putAside(): Promise<PutAside> {
    const { rows } = await this.on.query<{ state: string; count: number }>(
      `WITH off AS MATERIALIZED (
         SELECT e.id, e.state FROM ${this.schema}.webhook_endpoints e WHERE ${this.isAsideDue('e')}
          ORDER BY e.id LIMIT 100 FOR SHARE SKIP LOCKED
       ), open AS MATERIALIZED (
         SELECT d.id, off.state FROM off CROSS JOIN LATERAL (
           SELECT r.id FROM ${this.schema}.webhook_deliveries r WHERE r.endpoint_id = off.id AND r.state = 'ready'
            ORDER BY r.next_at, r.id LIMIT ${BATCH} FOR UPDATE SKIP LOCKED) d
          LIMIT ${BATCH}
       ), waiting AS MATERIALIZED (
         SELECT d.id, off.state FROM off CROSS JOIN LATERAL (
           SELECT r.id FROM ${this.schema}.webhook_deliveries r WHERE r.endpoint_id = off.id AND r.state = 'queued'
            ORDER BY r.line_id, r.id LIMIT ${BATCH} FOR UPDATE SKIP LOCKED) d
          LIMIT ${BATCH}
       ), kept AS MATERIALIZED (
         SELECT d.id, off.state FROM off CROSS JOIN LATERAL (
           SELECT r.id FROM ${this.schema}.webhook_deliveries r WHERE r.endpoint_id = off.id AND r.state = 'parked'
            ORDER BY r.id LIMIT ${BATCH} FOR UPDATE SKIP LOCKED) d
          WHERE off.state = 'deleted' LIMIT ${BATCH}
       ), moved AS (
         UPDATE ${this.schema}.webhook_deliveries d
            SET state = CASE o.state WHEN 'deleted' THEN 'abandoned' ELSE 'parked' END,
                reason = CASE o.state WHEN 'deleted' THEN 'endpoint-deleted' ELSE 'endpoint-disabled' END,
                settled_at = clock_timestamp()
           FROM (SELECT * FROM open UNION ALL SELECT * FROM waiting UNION ALL SELECT * FROM kept) o WHERE d.id = o.id RETURNING d.state)
       SELECT state, count(*)::int AS count FROM moved GROUP BY state`,
    );
    const of = (state: string): number => rows.find((row) => row.state === state)?.count ?? 0;
    return { parked: of('parked'), abandoned: of('abandoned') };
  }

  /**
   * Age of the oldest delivery that is due, not claimed, and of an active endpoint, or of the oldest event whose deliveries are still to be made; 0
   * without any. One look into the index for each endpoint, so the length of the backlog does not matter.
   */
  async lagMs(): Promise<number> {
    const { rows } = await this.on.query<{ lagMs: number | null }>(
      `SELECT extract(epoch FROM statement_timestamp() - least(min(due.next_at),
                (SELECT min(f.created_at) FROM ${this.schema}.webhook_hand_offs h JOIN ${this.schema}.webhook_events f ON f.id = h.event_id
                  WHERE h.kind = 'fan-out')))::float8 * 1000 AS "lagMs"
         FROM ${this.schema}.webhook_endpoints e
        CROSS JOIN LATERAL (
          SELECT d.next_at FROM ${this.schema}.webhook_deliveries d
           WHERE d.endpoint_id = e.id AND d.state = 'ready' AND d.next_at <= statement_timestamp()
           ORDER BY d.next_at LIMIT 1) due
        WHERE e.state = 'active'`,
    );
    return rows[0]?.lagMs ?? 0;
  }

  /** Counts all deliveries: reads the whole table, so it is for people and dashboards, not for each request. */
  async count(): Promise<DeliveryCounts> {
    const { rows } = await this.on.query<{ state: string; count: number; lagMs: number | null }>(
      `SELECT state, count(*)::int AS count,
              max(extract(epoch FROM statement_timestamp() - next_at) * 1000)
                  FILTER (WHERE state = 'ready' AND next_at <= statement_timestamp())::float8 AS "lagMs"
         FROM ${this.schema}.webhook_deliveries GROUP BY state`,
    );
    return {
      lagMs: rows.reduce((lag, row) => Math.max(lag, row.lagMs ?? 0), 0),
      byState: rows.map(({ state, count }) => ({ state, count })),
    };
  }

  /** By one look into the index for each endpoint, from its bound on: neither what is due later nor what an old snapshot keeps is walked. */
  private due(): string {
    return `SELECT FROM ${this.schema}.webhook_endpoints e LEFT JOIN bound b ON b.endpoint_id = e.id
             CROSS JOIN LATERAL (
               SELECT FROM ${this.schema}.webhook_deliveries r
                WHERE r.endpoint_id = e.id AND r.state = 'ready' AND r.next_at <= statement_timestamp() AND r.next_at >= coalesce(b.at, '-infinity')
                LIMIT 1) d
             WHERE e.state = 'active'`;
  }

  /** An endpoint that is off has deliveries that do not know it yet. */
  private isAsideDue(endpoint: string): string {
    const has = (state: string): string =>
      `EXISTS (SELECT FROM ${this.schema}.webhook_deliveries r WHERE r.endpoint_id = ${endpoint}.id AND r.state = '${state}')`;
    return `${endpoint}.state <> 'active' AND (${has('ready')} OR ${has('queued')} OR (${endpoint}.state = 'deleted' AND ${has('parked')}))`;
  }
}
