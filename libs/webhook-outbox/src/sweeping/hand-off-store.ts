import type { Queryable } from '@nest-baton/core';
import type { ReclaimedDelivery } from '../reclaiming/reclaim-store.js';
import { lacksToken } from '../limiting/token-bucket.js';
import { IS_ELIGIBLE, later, nextLook, OPEN } from './sweep-conditions.js';
import { nextFence } from '../schema/next-fence.js';

/** An event whose sweep lease is held. `fence` is a bigint, as text. */
export interface ClaimedEvent {
  readonly outboxId: string;
  /** Its dedupe key: the `id` given to `send`, or the one made there. */
  readonly id: string;
  readonly type: string;
  readonly tenant: string;
  /** How often a sweep has found it, this time included; attempts at its deliveries are counted elsewhere. */
  readonly sweeps: number;
  readonly leaseUntil: Date;
  readonly fence: string;
}

export interface SweepLook {
  /** Hand-offs that were looked at: as many as `limit` when there may be more. */
  readonly looked: number;
  readonly events: readonly ClaimedEvent[];
}

export type GivenUpDelivery = Omit<ReclaimedDelivery, 'state' | 'reason' | 'lineId'> & { readonly reason: 'given-up' };

const NEXT_FENCE = nextFence('h');

/** The statements on hand-offs. Each locks the hand-off before it touches deliveries; every comparison of times is by the database's clock. */
export class HandOffStore {
  constructor(
    private readonly on: Queryable,
    private readonly schema: string,
  ) {}

  /**
   * Looks at the `limit` hand-offs that have waited longest, and takes the sweep lease of those whose event has a delivery that is due,
   * in nobody's hands and of an eligible endpoint. One without open deliveries is removed; the others are looked at again when their next
   * delivery may be due. Touches no delivery.
   *
   * Race: two sweepers. Each skips what the other has locked, and after that what the other has moved to a later time.
   */
  async sweep(limit: number, leaseMs: number, graceMs: number): Promise<SweepLook> {
    const { rows } = await this.on.query<ClaimedEvent & { readonly looked: number; readonly outboxId: string | null }>(
      `WITH looked AS MATERIALIZED (
         SELECT event_id FROM ${this.schema}.webhook_hand_offs
          WHERE kind = 'sweep' AND next_at <= statement_timestamp()
          ORDER BY next_at LIMIT $1 FOR UPDATE SKIP LOCKED
       ), seen AS MATERIALIZED (
         SELECT l.event_id, count(d.id) > 0 AS is_open,
                coalesce(bool_or(d.state = 'ready' AND d.next_at <= statement_timestamp() AND ${IS_ELIGIBLE}), false) AS is_due,
                min(${nextLook('d', '$3', lacksToken('e', 's'))}) AS next_at
           FROM looked l
           LEFT JOIN ${this.schema}.webhook_deliveries d ON d.event_id = l.event_id AND d.state IN (${OPEN})
           LEFT JOIN ${this.schema}.webhook_endpoints e ON e.id = d.endpoint_id
           LEFT JOIN ${this.schema}.webhook_endpoint_states s ON s.endpoint_id = d.endpoint_id
          GROUP BY l.event_id
       ), over AS (
         DELETE FROM ${this.schema}.webhook_hand_offs h USING seen WHERE h.event_id = seen.event_id AND NOT seen.is_open
       ), moved AS (
         UPDATE ${this.schema}.webhook_hand_offs h
            SET lease_until = CASE WHEN seen.is_due THEN ${later('$2')} END,
                next_at = CASE WHEN seen.is_due THEN ${later('$2')} ELSE seen.next_at END,
                fence = CASE WHEN seen.is_due THEN ${NEXT_FENCE} ELSE h.fence END,
                count = h.count + seen.is_due::int
           FROM seen WHERE h.event_id = seen.event_id AND seen.is_open
         RETURNING h.event_id, h.fence, h.count, h.lease_until)
       SELECT e.id AS "outboxId", e.dedupe_key AS id, e.type, e.tenant, m.count AS sweeps, m.lease_until AS "leaseUntil", m.fence,
              (SELECT count(*)::int FROM looked) AS looked
         FROM (SELECT) one
         LEFT JOIN (moved m JOIN ${this.schema}.webhook_events e ON e.id = m.event_id) ON m.lease_until IS NOT NULL`,
      [limit, leaseMs, graceMs],
    );
    const events = rows.filter(({ outboxId }) => outboxId !== null).map(({ looked: _looked, ...event }) => event);
    return { looked: rows[0]?.looked ?? 0, events };
  }

  /** Ends the sweep lease: no sweep finds the event before `graceMs`, and none ever when nothing of it is open. False: the lease is not ours. */
  async complete(claim: ClaimedEvent, graceMs: number): Promise<boolean> {
    const { rows } = await this.on.query<{ n: number }>(
      `WITH mine AS (${this.mine()}),
       next AS (
         SELECT min(${nextLook('d', '$3')}) AS at
           FROM ${this.schema}.webhook_deliveries d WHERE d.event_id = $1 AND d.state IN (${OPEN})
       ), over AS (
         DELETE FROM ${this.schema}.webhook_hand_offs h USING mine, next WHERE h.event_id = mine.event_id AND next.at IS NULL
       ), moved AS (
         UPDATE ${this.schema}.webhook_hand_offs h SET lease_until = NULL, next_at = greatest(next.at, ${later('$3')})
           FROM mine, next WHERE h.event_id = mine.event_id AND next.at IS NOT NULL)
       SELECT count(*)::int AS n FROM mine`,
      [claim.outboxId, claim.fence, graceMs],
    );
    return rows[0]?.n === 1;
  }

  /** Ends the sweep lease; the next sweep finds the event after `ms`. False: the lease is not ours. */
  async reschedule(claim: ClaimedEvent, ms: number): Promise<boolean> {
    const { rowCount } = await this.on.query(
      `UPDATE ${this.schema}.webhook_hand_offs SET lease_until = NULL, next_at = ${later('$3')}
        WHERE event_id = $1 AND fence = $2 AND lease_until IS NOT NULL RETURNING event_id`,
      [claim.outboxId, claim.fence, ms],
    );
    return rowCount === 1;
  }

  /**
   * Makes every open delivery of the event dead that nobody holds, also one that waits for its turn; one that is leased settles as it may. `undefined`: the sweep lease is not
   * ours, and nothing was written. Waits for whoever has locked such a row at this moment: a delivery that was claimed meanwhile is left alone.
   */
  async fail(claim: ClaimedEvent, error: string): Promise<readonly GivenUpDelivery[] | undefined> {
    const { rows } = await this.on.query<GivenUpDelivery & { readonly isOurs: boolean }>(
      `WITH mine AS MATERIALIZED (${this.mine()}),
       open AS MATERIALIZED (
         SELECT d.id FROM ${this.schema}.webhook_deliveries d JOIN mine ON d.event_id = mine.event_id
          WHERE d.state IN ('queued', 'ready') ORDER BY d.id FOR UPDATE OF d
       ), dead AS (
         UPDATE ${this.schema}.webhook_deliveries d
            SET state = 'dead', reason = 'given-up', last_error = $3, settled_at = clock_timestamp()
           FROM open WHERE d.id = open.id RETURNING d.*
       ), held AS (
         SELECT min(coalesce(lease_until, statement_timestamp())) AS until FROM ${this.schema}.webhook_deliveries
          WHERE event_id = $1 AND state IN (${OPEN}) AND id NOT IN (SELECT id FROM open)
       ), over AS (
         DELETE FROM ${this.schema}.webhook_hand_offs h USING mine, held WHERE h.event_id = mine.event_id AND held.until IS NULL
       ), moved AS (
         UPDATE ${this.schema}.webhook_hand_offs h SET lease_until = NULL, next_at = held.until
           FROM mine, held WHERE h.event_id = mine.event_id AND held.until IS NOT NULL)
       SELECT d.id, d.event_id AS "outboxId", d.endpoint_id AS "endpointId", d.attempts, d.last_outcome AS outcome, d.reason,
              d.last_status AS status, d.last_error AS error, e.dedupe_key AS "eventId", e.type, e.tenant,
              EXISTS (SELECT FROM mine) AS "isOurs"
         FROM (SELECT) one
         LEFT JOIN (dead d JOIN ${this.schema}.webhook_events e ON e.id = d.event_id) ON true`,
      [claim.outboxId, claim.fence, error],
    );
    return rows[0]?.isOurs === true ? rows.filter(({ id }) => id !== null) : undefined;
  }

  /** Locked; the fence is checked again after waiting for whoever had it. */
  private mine(): string {
    return `SELECT event_id FROM ${this.schema}.webhook_hand_offs
             WHERE event_id = $1 AND fence = $2 AND lease_until IS NOT NULL FOR UPDATE`;
  }
}
