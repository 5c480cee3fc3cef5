import type { Queryable } from '@nest-baton/core';
import { standingOf, wants } from '../producing/subscribers.js';
import { later } from '../sweeping/sweep-conditions.js';
import { nextFence } from '../schema/next-fence.js';

/** An event whose deliveries this process makes until its lease ends. `fence` is a bigint, as text. */
export interface ClaimedFanOut {
  readonly outboxId: string;
  readonly fence: string;
}

export interface FanOutStep {
  /** Deliveries that it made. */
  readonly made: number;
  /** Set after the last step, or when the event is gone. */
  readonly done: FannedOut | undefined;
}

export interface FannedOut {
  readonly outboxId: string;
  /** The dedupe key of the event; `null` when the event is gone. */
  readonly id: string | null;
  readonly type: string | null;
  readonly tenant: string | null;
  /** Of all steps. */
  readonly deliveries: number;
}

/** Deliveries of one statement: a commit now and then, and no lock for long, however many endpoints there are. */
export const FAN_OUT_BATCH = 1_000;

const BEFORE_FIRST = `'00000000-0000-0000-0000-000000000000'::uuid`;

const NEXT_FENCE = nextFence('h');

/** The statements that make the deliveries of events which many endpoints want. Every comparison of times is by the database's clock. */
export class FanOutStore {
  /** @param handOffGraceMs after which a sweep looks for an event whose deliveries are made; undefined where relays send whatever is due. */
  constructor(
    private readonly on: Queryable,
    private readonly schema: string,
    private readonly handOffGraceMs: number | undefined,
  ) {}

  /** Takes the lease of the fan-out that has waited longest; skips what another claimer has locked, and then finds it moved behind. */
  async claim(leaseMs: number): Promise<ClaimedFanOut | undefined> {
    const { rows } = await this.on.query<ClaimedFanOut>(
      `WITH due AS MATERIALIZED (
         SELECT event_id FROM ${this.schema}.webhook_hand_offs
          WHERE kind = 'fan-out' AND next_at <= statement_timestamp() ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED)
       UPDATE ${this.schema}.webhook_hand_offs h SET lease_until = ${later('$1')}, next_at = ${later('$1')}, fence = ${NEXT_FENCE}
         FROM due WHERE h.event_id = due.event_id RETURNING h.event_id AS "outboxId", h.fence`,
      [leaseMs],
    );
    return rows[0];
  }

  /**
   * Makes the next deliveries, in order of the endpoints' ids, for endpoints as they are now, and renews the lease; the last step ends the fan-out.
   * All of it or nothing. Undefined: the lease is not ours, and nothing was written.
   *
   * Locks the hand-off, so two steps of one event never run at a time. A delivery that is there already is left as it is: the unique index makes
   * a second one impossible, whoever thinks that he holds the lease. Endpoints with an order have theirs of an event with a key since it was sent; one
   * that was made since is not subscribed to it.
   */
  async step({ outboxId, fence }: ClaimedFanOut, leaseMs: number): Promise<FanOutStep | undefined> {
    const { rows } = await this.on.query<FannedOut & { readonly isDone: boolean; readonly made: number }>(
      `WITH mine AS MATERIALIZED (
         SELECT event_id, count, coalesce(endpoints_until, ${BEFORE_FIRST}) AS until FROM ${this.schema}.webhook_hand_offs
          WHERE event_id = $1 AND fence = $2 AND kind = 'fan-out' AND lease_until IS NOT NULL FOR UPDATE
       ), event AS MATERIALIZED (
         SELECT e.id, e.tenant, e.type, e.dedupe_key, e.order_key FROM ${this.schema}.webhook_events e JOIN mine ON e.id = mine.event_id
       ), page AS MATERIALIZED (
         SELECT p.id, p.state FROM ${this.schema}.webhook_endpoints p
          WHERE p.tenant = (SELECT tenant FROM event) AND p.id > (SELECT until FROM mine) AND p.state <> 'deleted'
            AND (p.order_mode IS NULL OR (SELECT order_key FROM event) IS NULL) AND ${wants('p.types', '(SELECT type FROM event)')}
          ORDER BY p.id LIMIT ${FAN_OUT_BATCH}
       ), delivery AS (
         INSERT INTO ${this.schema}.webhook_deliveries
                (event_id, endpoint_id, state, reason, settled_at, next_at, fence, attempts, lease_losses, created_at)
         SELECT event.id, page.id, ${standingOf('page')}, clock_timestamp(), 0, 0, 0, clock_timestamp() FROM event, page ORDER BY page.id
             ON CONFLICT (event_id, endpoint_id) DO NOTHING
         RETURNING id
       ), counted AS (
         SELECT (SELECT count(*)::int FROM delivery) AS made, (SELECT count(*) FROM page) < ${FAN_OUT_BATCH} AS is_last
       ), moved AS (
         UPDATE ${this.schema}.webhook_hand_offs h
            SET lease_until = ${later('$3')}, next_at = ${later('$3')}, count = h.count + counted.made,
                endpoints_until = (SELECT id FROM page ORDER BY id DESC LIMIT 1)
           FROM mine, counted WHERE h.event_id = mine.event_id AND NOT counted.is_last
       ), ${this.ended()}
       SELECT mine.event_id AS "outboxId", event.dedupe_key AS id, event.type, event.tenant, counted.made, counted.is_last AS "isDone",
              mine.count + counted.made AS deliveries
         FROM mine CROSS JOIN counted LEFT JOIN event ON true`,
      [outboxId, fence, leaseMs, ...(this.handOffGraceMs === undefined ? [] : [this.handOffGraceMs])],
    );
    const [row] = rows;
    if (row === undefined) return undefined;
    const { made, isDone, ...fannedOut } = row;
    return { made, done: isDone ? fannedOut : undefined };
  }

  /** Hands back, due now: somebody else goes on where the last step ended. */
  async release({ outboxId, fence }: ClaimedFanOut): Promise<void> {
    await this.on.query(
      `UPDATE ${this.schema}.webhook_hand_offs SET lease_until = NULL, next_at = statement_timestamp()
        WHERE event_id = $1 AND fence = $2 AND kind = 'fan-out'`,
      [outboxId, fence],
    );
  }

  /** Events with deliveries to be made. */
  async pending(): Promise<number> {
    const { rows } = await this.on.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM ${this.schema}.webhook_hand_offs WHERE kind = 'fan-out'`,
    );
    return rows[0]?.n ?? 0;
  }

  /** Where events go to a queue, the sweep watches over this one from now on; elsewhere nobody needs the hand-off any more. */
  private ended(): string {
    const isLast = 'mine, counted WHERE h.event_id = mine.event_id AND counted.is_last';
    if (this.handOffGraceMs === undefined)
      return `ended AS (DELETE FROM ${this.schema}.webhook_hand_offs h USING ${isLast})`;
    return `ended AS (
         UPDATE ${this.schema}.webhook_hand_offs h
            SET kind = 'sweep', lease_until = NULL, next_at = ${later('$4')}, count = 0, endpoints_until = NULL FROM ${isLast})`;
  }
}
