import type { Queryable } from '@nest-baton/core';
import { columnsOf, type NewEvent, type StoredEvent } from '../producing/event-batch.js';
import { keptHandOff } from '../producing/kept-hand-off.js';
import { COUNTED, MOST_AT_ONCE, standingOf, wants } from '../producing/subscribers.js';

const SAME_AUDIENCE = 'tenant, type, is_keyed';

/** How events with an order key are stored: as those without, and with a place in the line of each endpoint that wants an order. */
export class KeyedEvents {
  /** @param handOffGraceMs as of `EventStore`. */
  constructor(
    private readonly schema: string,
    private readonly handOffGraceMs: number | undefined,
  ) {}

  /**
   * Stores events, of which some have a key, as `EventStore.insert` does. Endpoints with an order get their deliveries here, however many they are: of those
   * alone that a relay makes later nobody would know the order.
   *
   * Places are taken from the line's row, which is locked to the end of the transaction: whoever has a later place has it after the commit of whoever
   * has an earlier one, and what is rolled back has none. Lines are taken in order of endpoint and key, after the events, so two calls never wait
   * for each other. Deliveries begin as `queued`: what this statement sees may be older than the lock, so it cannot tell who is first.
   */
  async insert(on: Queryable, events: readonly NewEvent[], trace: string | null): Promise<readonly StoredEvent[]> {
    const { schema, handOffGraceMs } = this;
    const isQueued = handOffGraceMs !== undefined;
    const { rows } = await on.query<StoredEvent & { readonly n: string }>(
      `WITH given AS (
         SELECT *, order_key IS NOT NULL AS is_keyed
           FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[]) WITH ORDINALITY
                AS g(id, tenant, key, type, body, content_hash, order_key, n)
       ), taken AS (
         SELECT g.id, e.content_hash <> g.content_hash AS is_conflict
           FROM given g CROSS JOIN LATERAL (
             SELECT content_hash FROM ${schema}.webhook_events WHERE tenant = g.tenant AND dedupe_key = g.key LIMIT 1) e
       ), ${this.subscribers()}, audience AS (
         SELECT ${SAME_AUDIENCE}, count(*)::int AS subscribers, (count(*) FILTER (WHERE is_strict))::int AS strict,
                (count(*) FILTER (WHERE NOT is_strict))::int AS size
           FROM subscriber GROUP BY ${SAME_AUDIENCE}
       ), event AS (
         INSERT INTO ${schema}.webhook_events (id, tenant, dedupe_key, type, body, content_hash, order_key, trace, created_at)
         SELECT g.id, g.tenant, g.key, g.type, g.body, g.content_hash, g.order_key, $8::text, clock_timestamp()
           FROM given g JOIN audience USING (${SAME_AUDIENCE})
          WHERE NOT EXISTS (SELECT FROM taken t WHERE t.id = g.id) AND NOT EXISTS (SELECT FROM taken WHERE is_conflict)
          ORDER BY g.tenant, g.key
             ON CONFLICT (tenant, dedupe_key) DO NOTHING
         RETURNING id, tenant, type, order_key IS NOT NULL AS is_keyed
       ), delivery AS (
         INSERT INTO ${schema}.webhook_deliveries
                (event_id, endpoint_id, state, reason, settled_at, next_at, fence, attempts, lease_losses, created_at)
         SELECT event.id, s.id, ${standingOf('s')}, clock_timestamp(), 0, 0, 0, clock_timestamp()
           FROM event JOIN given USING (id) JOIN audience a ON (a.tenant, a.type, a.is_keyed) = (event.tenant, event.type, event.is_keyed)
           JOIN subscriber s ON (s.tenant, s.type, s.is_keyed) = (event.tenant, event.type, event.is_keyed) AND NOT s.is_strict
          WHERE a.size <= ${MOST_AT_ONCE} ORDER BY given.n, s.id
       ), ${this.placed()},
       ${keptHandOff(schema, `FROM event JOIN audience USING (${SAME_AUDIENCE})`, isQueued ? '$9' : undefined, 'strict')}
       SELECT g.n, event.id IS NOT NULL AS "wasInserted", taken.id IS NOT NULL AS "isTaken", coalesce(a.subscribers, 0) AS subscribers,
              coalesce(a.size, 0) > ${MOST_AT_ONCE} AS "hasFanOut"
         FROM given g LEFT JOIN event ON event.id = g.id LEFT JOIN taken ON taken.id = g.id
         LEFT JOIN audience a ON (a.tenant, a.type, a.is_keyed) = (g.tenant, g.type, g.is_keyed)
        ORDER BY g.n`,
      [...columnsOf(events), events.map(({ orderKey }) => orderKey), trace, ...(isQueued ? [handOffGraceMs] : [])],
    );
    return rows;
  }

  /** For events with a key, all endpoints with an order, and of the others enough to know whether a relay is to make their deliveries. */
  private subscribers(): string {
    const wanting = `e.tenant = k.tenant AND e.state <> 'deleted' AND ${wants('e.types', 'k.type')}`;
    return `subscriber AS MATERIALIZED (
         SELECT k.*, e.* FROM (SELECT DISTINCT ${SAME_AUDIENCE} FROM given) k
          CROSS JOIN LATERAL (
           (SELECT e.id, e.state, true AS is_strict FROM ${this.schema}.webhook_endpoints e
             WHERE k.is_keyed AND e.order_mode = 'strict' AND ${wanting})
            UNION ALL
           (SELECT e.id, e.state, false FROM ${this.schema}.webhook_endpoints e
             WHERE (NOT k.is_keyed OR e.order_mode IS NULL) AND ${wanting} LIMIT ${COUNTED})) e)`;
  }

  private placed(): string {
    return `turn AS MATERIALIZED (
         SELECT event.id AS event_id, s.id AS endpoint_id, s.state, given.order_key,
                row_number() OVER (PARTITION BY s.id, given.order_key ORDER BY given.n) AS nth,
                count(*) OVER (PARTITION BY s.id, given.order_key) AS count
           FROM event JOIN given USING (id)
           JOIN subscriber s ON (s.tenant, s.type, s.is_keyed) = (event.tenant, event.type, event.is_keyed) AND s.is_strict
       ), line AS (
         INSERT INTO ${this.schema}.webhook_lines AS l (endpoint_id, order_key, last_seq)
         SELECT endpoint_id, order_key, max(count) FROM turn GROUP BY endpoint_id, order_key ORDER BY endpoint_id, order_key COLLATE "C"
             ON CONFLICT (endpoint_id, order_key) DO UPDATE SET last_seq = l.last_seq + EXCLUDED.last_seq
         RETURNING id, endpoint_id, order_key, last_seq
       ), placed AS (
         INSERT INTO ${this.schema}.webhook_deliveries
                (event_id, endpoint_id, state, reason, settled_at, next_at, fence, attempts, lease_losses, line_id, seq, created_at)
         SELECT turn.event_id, turn.endpoint_id, ${standingOf('turn', 'queued')}, clock_timestamp(), 0, 0, 0,
                line.id, line.last_seq - turn.count + turn.nth, clock_timestamp()
           FROM turn JOIN line USING (endpoint_id, order_key) ORDER BY line.id, turn.nth)`;
  }
}
