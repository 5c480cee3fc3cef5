import type { Queryable } from '@nest-baton/core';
import type { DeliveryState } from '../delivering/delivery.js';
import { lacksToken, nextTokenAt } from '../limiting/token-bucket.js';
import { IS_ELIGIBLE, nextLook, OPEN } from '../sweeping/sweep-conditions.js';

/** A delivery as `deliver` finds it. */
export interface FoundDelivery {
  readonly id: string;
  readonly endpointId: string;
  readonly state: DeliveryState;
  readonly nextAt: Date;
  readonly leaseUntil: Date | null;
  readonly fence: string;
  /** Its time has come. */
  readonly isDue: boolean;
  /** Its endpoint may be sent to. */
  readonly isEligible: boolean;
  /** When the next token comes to its endpoint; `null` where it has one, or needs none. */
  readonly tokenAt: Date | null;
}

/** An event and what there is of it. */
export interface FoundEvent {
  readonly deliveries: readonly FoundDelivery[];
  /** More of them are being made. */
  readonly isFanOutPending: boolean;
}

/** What a process that consumes a queue, or that begins to, writes of hand-offs. */
export class ConsumedStore {
  constructor(
    private readonly on: Queryable,
    private readonly schema: string,
  ) {}

  /**
   * The deliveries of an event after its message was consumed; `undefined` when there is no such event. The hand-off goes where none is open; else
   * the sweep finds it when the next one is due. Whoever held its sweep lease has lost it. Locks no delivery: what changes after this
   * statement's snapshot is found by the sweep. An event whose deliveries are still being made keeps its hand-off: who has made the last tells the queue.
   */
  async consumed(outboxId: string, graceMs: number): Promise<FoundEvent | undefined> {
    const { rows } = await this.on.query<
      FoundDelivery & Pick<FoundEvent, 'isFanOutPending'> & { readonly isKnown: boolean }
    >(
      `WITH found AS MATERIALIZED (
         SELECT d.id, d.endpoint_id, d.state, d.next_at, d.lease_until, d.fence, d.next_at <= statement_timestamp() AS is_due,
                coalesce(${IS_ELIGIBLE}, false) AS is_eligible,
                CASE WHEN ${lacksToken('e', 's')} THEN ${nextTokenAt('e', 's')} END AS token_at
           FROM ${this.schema}.webhook_deliveries d
           LEFT JOIN ${this.schema}.webhook_endpoints e ON e.id = d.endpoint_id
           LEFT JOIN ${this.schema}.webhook_endpoint_states s ON s.endpoint_id = d.endpoint_id
          WHERE d.event_id = $1
       ), next AS (
         SELECT min(${nextLook('f', '$2', 'f.token_at IS NOT NULL')}) AS at FROM found f WHERE f.state IN (${OPEN})
       ), over AS (
         DELETE FROM ${this.schema}.webhook_hand_offs h USING next WHERE h.event_id = $1 AND h.kind = 'sweep' AND next.at IS NULL
       ), moved AS (
         UPDATE ${this.schema}.webhook_hand_offs h SET lease_until = NULL, next_at = next.at, fence = h.fence + 1
           FROM next WHERE h.event_id = $1 AND h.kind = 'sweep' AND next.at IS NOT NULL)
       SELECT f.id, f.endpoint_id AS "endpointId", f.state, f.next_at AS "nextAt", f.lease_until AS "leaseUntil", f.fence, f.is_due AS "isDue",
              f.is_eligible AS "isEligible", f.token_at AS "tokenAt", EXISTS (SELECT FROM ${this.schema}.webhook_events WHERE id = $1) AS "isKnown",
              EXISTS (SELECT FROM ${this.schema}.webhook_hand_offs WHERE event_id = $1 AND kind = 'fan-out') AS "isFanOutPending"
         FROM (SELECT) one LEFT JOIN found f ON true ORDER BY f.id`,
      [outboxId, graceMs],
    );
    if (rows[0]?.isKnown !== true) return undefined;
    return { deliveries: rows.filter(({ id }) => id !== null), isFanOutPending: rows[0].isFanOutPending };
  }

  /**
   * Makes hand-offs for events that have none although a delivery waits, or a later one: of producers that had another `dispatch`, and of
   * replays. One page of the deliveries that wait, in the order of their index; returns where the next begins, `undefined` after the last.
   * Leaves alone what a sweep holds.
   */
  async adopt(after: AdoptCursor, graceMs: number): Promise<AdoptCursor | undefined> {
    const { rows } = await this.on.query<AdoptCursor & { readonly n: number }>(
      `WITH page AS MATERIALIZED (
         SELECT d.endpoint_id, d.next_at, d.id, d.event_id,
                greatest(d.next_at, d.created_at + make_interval(secs => $4::float8 / 1000)) AS look_at
           FROM ${this.schema}.webhook_deliveries d
          WHERE d.state = 'ready' AND (d.endpoint_id, d.next_at, d.id) > ($1::uuid, $2::timestamptz, $3::bigint)
          ORDER BY d.endpoint_id, d.next_at, d.id LIMIT ${ADOPT_PAGE}
       ), adopted AS (
         INSERT INTO ${this.schema}.webhook_hand_offs AS h (event_id, kind, next_at, fence, count)
         SELECT p.event_id, 'sweep', min(p.look_at), 0, 0 FROM page p
          WHERE NOT EXISTS (SELECT FROM ${this.schema}.webhook_hand_offs h
                             WHERE h.event_id = p.event_id AND (h.lease_until IS NOT NULL OR h.next_at <= p.look_at))
          GROUP BY p.event_id ORDER BY p.event_id
             ON CONFLICT (event_id) DO UPDATE SET next_at = excluded.next_at
          WHERE h.kind = 'sweep' AND h.lease_until IS NULL AND h.next_at > excluded.next_at)
       SELECT endpoint_id AS "endpointId", next_at::text AS "nextAt", id, (SELECT count(*)::int FROM page) AS n
         FROM page ORDER BY page.endpoint_id DESC, page.next_at DESC, page.id DESC LIMIT 1`,
      [after.endpointId, after.nextAt, after.id, graceMs],
    );
    const [last] = rows;
    return last === undefined || last.n < ADOPT_PAGE ? undefined : last;
  }
}

export interface AdoptCursor {
  readonly endpointId: string;
  /** By the database's clock, as its text. */
  readonly nextAt: string;
  readonly id: string;
}

export const ADOPT_FROM_START: AdoptCursor = {
  endpointId: '00000000-0000-0000-0000-000000000000',
  nextAt: '-infinity',
  id: '0',
};

const ADOPT_PAGE = 1_000;
