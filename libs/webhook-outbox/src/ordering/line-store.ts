import { type Queryable, sqlState } from '@nest-baton/core';

/** An event of which a delivery was made ready. */
export interface PromotedEvent {
  readonly outboxId: string;
  readonly key: string;
  readonly type: string;
  readonly tenant: string;
}

/** A line in which nothing is sent any more until somebody deals with the delivery that was given up. */
export interface HaltedLine {
  readonly lineId: string;
  readonly endpointId: string;
  readonly orderKey: string;
  /** The first that is in the way. */
  readonly deliveryId: string;
}

export interface Promoted {
  /** Of each delivery that was made ready, its event. */
  readonly events: readonly PromotedEvent[];
  /** Lines looked at that have an `onDead` of `halt`, and something in the way. */
  readonly halted: readonly HaltedLine[];
}

export interface LinesLook extends Promoted {
  /** Where the next page begins; undefined after the last. */
  readonly next: LineCursor | undefined;
}

export interface LineCursor {
  readonly endpointId: string;
  readonly lineId: string;
}

export const FIRST_LINE: LineCursor = { endpointId: '00000000-0000-0000-0000-000000000000', lineId: '0' };

/** As SQL: states in which a delivery was neither delivered nor given up by somebody's wish: those behind it wait where the endpoint halts. */
const IN_THE_WAY = `'failed', 'dead', 'parked', 'expired'`;

const PAGE = 1_000;

/** Another was quicker, which the next look sees. */
const RACED = ['23505', '40P01', '40001'];
const MOST_TRIES = 5;

/**
 * The statements that make the next delivery of a line ready: the first that is `queued`, when none of the line is `ready` or `leased` and, where the
 * endpoint halts, none before it is in the way.
 *
 * - What is visible of a line has no gaps that fill up later: a place is taken after the commit of the one before. So the first that is seen is
 *   the first, whatever producers do at the same time, and no statement here waits for one.
 * - Two that look at one line at the same time: whoever locks the row first has it, and the other skips it, or finds it changed. Should they
 *   see different ones, as an older one was replayed in between, the unique index of what is ready or leased refuses the second, who looks again.
 */
export class LineStore {
  constructor(
    private readonly on: Queryable,
    private readonly schema: string,
  ) {}

  /** Looks at lines, and at those of events. */
  promote(lineIds: readonly string[], outboxIds: readonly string[]): Promise<Promoted> {
    return untilUnraced(async () => {
      const { rows } = await this.on.query<LookRow>(
        `WITH waiting AS MATERIALIZED (
           SELECT l.endpoint_id, l.id AS line_id FROM ${this.schema}.webhook_lines l WHERE l.id = ANY ($1::bigint[])
            UNION
           SELECT d.endpoint_id, d.line_id FROM ${this.schema}.webhook_deliveries d
            WHERE d.event_id = ANY ($2::uuid[]) AND d.line_id IS NOT NULL
         ), ${this.looked()}`,
        [lineIds, outboxIds],
      );
      return promotedOf(rows);
    });
  }

  /** Looks at a page of the lines in which something is queued, in order of endpoint and line. */
  sweep(after: LineCursor): Promise<LinesLook> {
    return untilUnraced(async () => {
      const { rows } = await this.on.query<LookRow & LineCursor & { readonly count: number }>(
        `WITH RECURSIVE waiting (endpoint_id, line_id, n) AS (
           (SELECT r.endpoint_id, r.line_id, 1 ${this.queuedAfter('$1::uuid, $2::bigint')})
            UNION ALL
           SELECT r.endpoint_id, r.line_id, w.n + 1
             FROM waiting w CROSS JOIN LATERAL (SELECT r.endpoint_id, r.line_id ${this.queuedAfter('w.endpoint_id, w.line_id')}) r
            WHERE w.n < ${PAGE}
         ), ${this.looked()} RIGHT JOIN (SELECT endpoint_id AS "endpointId", line_id AS "lineId", n AS count FROM waiting ORDER BY n DESC LIMIT 1) last ON true`,
        [after.endpointId, after.lineId],
      );
      const [last] = rows;
      return { ...promotedOf(rows), next: last === undefined || last.count < PAGE ? undefined : last };
    });
  }

  /** One look into the index for each line, however much is queued in it. */
  private queuedAfter(place: string): string {
    return `FROM ${this.schema}.webhook_deliveries r WHERE r.state = 'queued' AND (r.endpoint_id, r.line_id) > (${place})
                     ORDER BY r.endpoint_id, r.line_id LIMIT 1`;
  }

  /** Over `waiting`. Rows are locked in order of id. */
  private looked(): string {
    const { schema } = this;
    return `line AS MATERIALIZED (
           SELECT w.line_id, w.endpoint_id, q.id AS queued_id, b.id AS blocking_id, coalesce(b.seq < q.seq, false) AS is_blocked, e.on_dead
             FROM waiting w JOIN ${schema}.webhook_endpoints e ON e.id = w.endpoint_id AND e.state = 'active'
             LEFT JOIN LATERAL (
               SELECT r.id, r.seq FROM ${schema}.webhook_deliveries r WHERE r.line_id = w.line_id AND r.state = 'queued' ORDER BY r.seq LIMIT 1) q ON true
             LEFT JOIN LATERAL (
               SELECT r.id, r.seq FROM unnest(ARRAY[${IN_THE_WAY}]) s(state) CROSS JOIN LATERAL (
                 SELECT r.id, r.seq FROM ${schema}.webhook_deliveries r WHERE r.line_id = w.line_id AND r.state = s.state ORDER BY r.seq LIMIT 1) r
                ORDER BY r.seq LIMIT 1) b ON e.on_dead = 'halt'
         ), head AS MATERIALIZED (
           SELECT d.id FROM ${schema}.webhook_deliveries d JOIN line ON line.queued_id = d.id
            WHERE d.state = 'queued' AND NOT line.is_blocked AND NOT EXISTS (
              SELECT FROM ${schema}.webhook_deliveries a WHERE a.line_id = line.line_id AND a.state IN ('ready', 'leased'))
            ORDER BY d.id FOR UPDATE OF d SKIP LOCKED
         ), promoted AS (
           UPDATE ${schema}.webhook_deliveries d SET state = 'ready', next_at = greatest(d.next_at, clock_timestamp())
             FROM head WHERE d.id = head.id RETURNING d.event_id
         )
         SELECT * FROM (
           SELECT p.event_id AS "outboxId", coalesce(e.dedupe_key, '') AS key, coalesce(e.type, '') AS type, coalesce(e.tenant, '') AS tenant, NULL::bigint AS "haltedId", NULL::uuid AS "haltedAt", NULL AS "orderKey",
                  NULL::bigint AS "deliveryId"
             FROM promoted p LEFT JOIN ${schema}.webhook_events e ON e.id = p.event_id
            UNION ALL
           SELECT NULL, NULL, NULL, NULL, line.line_id, line.endpoint_id, l.order_key, line.blocking_id
             FROM line JOIN ${schema}.webhook_lines l ON l.id = line.line_id
            WHERE line.blocking_id IS NOT NULL AND (line.is_blocked OR line.queued_id IS NULL)) found`;
  }
}

interface LookRow {
  readonly outboxId: string | null;
  readonly key: string | null;
  readonly type: string | null;
  readonly tenant: string | null;
  readonly haltedId: string | null;
  readonly haltedAt: string | null;
  readonly orderKey: string | null;
  readonly deliveryId: string | null;
}

function promotedOf(rows: readonly LookRow[]): Promoted {
  const events: PromotedEvent[] = [];
  const halted: HaltedLine[] = [];
  for (const { outboxId, key, type, tenant, haltedId, haltedAt, orderKey, deliveryId } of rows) {
    if (outboxId !== null && key !== null && type !== null && tenant !== null)
      events.push({ outboxId, key, type, tenant });
    if (haltedId !== null && haltedAt !== null && orderKey !== null && deliveryId !== null)
      halted.push({ lineId: haltedId, endpointId: haltedAt, orderKey, deliveryId });
  }
  return { events, halted };
}

/** @throws what the database says when it is asked again and again, and always loses. */
async function untilUnraced<T>(look: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await look();
    } catch (error) {
      if (tries >= MOST_TRIES || !RACED.includes(sqlState(error) ?? '')) throw error;
    }
  }
}
