import type { Queryable } from '@nest-baton/core';
import { columnsOf, type NewEvent, type StoredEvent } from './event-batch.js';
import { KeyedEvents } from '../ordering/keyed-events.js';
import { keptHandOff } from './kept-hand-off.js';
import { COUNTED, MOST_AT_ONCE, standingOf, wants } from './subscribers.js';

/** The event that holds a key. */
export interface KeyHolder {
  readonly outboxId: string;
  readonly contentHash: Buffer;
  /** `null`: not all of them have been made. */
  readonly deliveries: number | null;
}

/** The statements of `send` and `sendMany`. They run on the module's pool or in the caller's transaction. */
export class EventStore {
  private readonly keyed: KeyedEvents;

  /** @param handOffGraceMs after which a sweep looks for the event; undefined where relays send whatever is due. */
  constructor(
    private readonly schema: string,
    private readonly handOffGraceMs: number | undefined,
  ) {
    this.keyed = new KeyedEvents(schema, handOffGraceMs);
  }

  /**
   * Stores each event and one delivery for each active endpoint of its tenant whose types match, all in one statement; of an event nothing when
   * there is no such endpoint, or when its key is taken; and of no event anything when one of the keys is seen to hold other content. Of an event
   * that more than `MOST_AT_ONCE` want it stores no delivery but the hand-off `fan-out`, by which a relay makes them: decided by what this
   * statement sees, so nothing can come in between.
   *
   * Race: two transactions with one key. The unique index makes the second wait until the first has ended, and `DO NOTHING` makes it insert
   * nothing then: no error that would abort the caller's transaction. Its own snapshot may be older than the winner's commit: then it was
   * neither inserted nor seen as taken, and `find` reads the winner. Keys are taken in their order, so that two calls with the same keys never
   * wait for each other. `LIMIT 1` makes each key a look into the index: as a join the planner may read the whole table.
   */
  async insert(on: Queryable, events: readonly NewEvent[], trace: string | null): Promise<readonly StoredEvent[]> {
    const [first, ...others] = events;
    if (first === undefined) return [];
    if (events.some(({ orderKey }) => orderKey !== null)) return this.keyed.insert(on, events, trace);
    return others.length === 0 ? this.insertOne(on, first, trace) : this.insertMany(on, events, trace);
  }

  /** What `insertMany` does, for the one event of a `send`: planned and run in two thirds of the time. */
  private async insertOne(on: Queryable, event: NewEvent, trace: string | null): Promise<readonly StoredEvent[]> {
    const { rows } = await on.query<StoredEvent>(
      `WITH taken AS (
         SELECT FROM ${this.schema}.webhook_events WHERE tenant = $2 AND dedupe_key = $3
       ), subscriber AS (
         SELECT e.id, e.state FROM ${this.schema}.webhook_endpoints e
          WHERE e.tenant = $2 AND e.state <> 'deleted' AND ${wants('e.types', '$4')} LIMIT ${COUNTED}
       ), audience AS (SELECT count(*)::int AS size FROM subscriber), event AS (
         INSERT INTO ${this.schema}.webhook_events (id, tenant, dedupe_key, type, body, content_hash, trace, created_at)
         SELECT $1::uuid, $2, $3, $4, $5, $6::bytea, $7::text, clock_timestamp()
          WHERE (SELECT size FROM audience) > 0 AND NOT EXISTS (SELECT FROM taken)
             ON CONFLICT (tenant, dedupe_key) DO NOTHING
         RETURNING id
       ), delivery AS (
         INSERT INTO ${this.schema}.webhook_deliveries
                (event_id, endpoint_id, state, reason, settled_at, next_at, fence, attempts, lease_losses, created_at)
         SELECT event.id, subscriber.id, ${standingOf('subscriber')}, clock_timestamp(), 0, 0, 0, clock_timestamp() FROM event, subscriber
          WHERE (SELECT size FROM audience) <= ${MOST_AT_ONCE} ORDER BY subscriber.id
       ), ${keptHandOff(this.schema, 'FROM event, audience', this.graceOf('$8'))}
       SELECT EXISTS (SELECT FROM event) AS "wasInserted", EXISTS (SELECT FROM taken) AS "isTaken", size AS subscribers,
              size > ${MOST_AT_ONCE} AS "hasFanOut" FROM audience`,
      [event.outboxId, event.tenant, event.key, event.type, event.body, event.contentHash, trace, ...this.grace()],
    );
    return rows;
  }

  private async insertMany(
    on: Queryable,
    events: readonly NewEvent[],
    trace: string | null,
  ): Promise<readonly StoredEvent[]> {
    const { rows } = await on.query<StoredEvent & { readonly n: string }>(
      `WITH given AS (
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[]) WITH ORDINALITY
                AS g(id, tenant, key, type, body, content_hash, n)
       ), taken AS (
         SELECT g.id, e.content_hash <> g.content_hash AS is_conflict
           FROM given g CROSS JOIN LATERAL (
             SELECT content_hash FROM ${this.schema}.webhook_events WHERE tenant = g.tenant AND dedupe_key = g.key LIMIT 1) e
       ), subscriber AS MATERIALIZED (
         SELECT k.tenant, k.type, e.id, e.state
           FROM (SELECT DISTINCT tenant, type FROM given) k
          CROSS JOIN LATERAL (
            SELECT e.id, e.state FROM ${this.schema}.webhook_endpoints e
             WHERE e.tenant = k.tenant AND e.state <> 'deleted' AND ${wants('e.types', 'k.type')} LIMIT ${COUNTED}) e
       ), audience AS (
         SELECT tenant, type, count(*)::int AS size FROM subscriber GROUP BY tenant, type
       ), event AS (
         INSERT INTO ${this.schema}.webhook_events (id, tenant, dedupe_key, type, body, content_hash, trace, created_at)
         SELECT g.id, g.tenant, g.key, g.type, g.body, g.content_hash, $7::text, clock_timestamp()
           FROM given g JOIN audience USING (tenant, type)
          WHERE NOT EXISTS (SELECT FROM taken t WHERE t.id = g.id) AND NOT EXISTS (SELECT FROM taken WHERE is_conflict)
          ORDER BY g.tenant, g.key
             ON CONFLICT (tenant, dedupe_key) DO NOTHING
         RETURNING id, tenant, type
       ), delivery AS (
         INSERT INTO ${this.schema}.webhook_deliveries
                (event_id, endpoint_id, state, reason, settled_at, next_at, fence, attempts, lease_losses, created_at)
         SELECT event.id, subscriber.id, ${standingOf('subscriber')}, clock_timestamp(), 0, 0, 0, clock_timestamp()
           FROM event JOIN given ON given.id = event.id
           JOIN audience ON audience.tenant = event.tenant AND audience.type = event.type AND audience.size <= ${MOST_AT_ONCE}
           JOIN subscriber ON subscriber.tenant = event.tenant AND subscriber.type = event.type
          ORDER BY given.n, subscriber.id
       ), ${keptHandOff(this.schema, 'FROM event JOIN audience USING (tenant, type)', this.graceOf('$8'))}
       SELECT g.n, event.id IS NOT NULL AS "wasInserted", taken.id IS NOT NULL AS "isTaken", coalesce(audience.size, 0) AS subscribers,
              coalesce(audience.size, 0) > ${MOST_AT_ONCE} AS "hasFanOut"
         FROM given g LEFT JOIN event ON event.id = g.id LEFT JOIN taken ON taken.id = g.id
         LEFT JOIN audience ON audience.tenant = g.tenant AND audience.type = g.type
        ORDER BY g.n`,
      [...columnsOf(events), trace, ...this.grace()],
    );
    return rows;
  }

  /** The events under keys, each with how many deliveries there are of it; `undefined` where none is visible. Locks nothing. */
  async find(on: Queryable, events: readonly NewEvent[]): Promise<readonly (KeyHolder | undefined)[]> {
    const { rows } = await on.query<{ id: string | null; content_hash: Buffer; deliveries: number | null }>(
      `SELECT e.id, e.content_hash,
              (SELECT count(*)::int FROM ${this.schema}.webhook_deliveries d WHERE d.event_id = e.id
                HAVING NOT EXISTS (SELECT FROM ${this.schema}.webhook_hand_offs h WHERE h.event_id = e.id AND h.kind = 'fan-out')) AS deliveries
         FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS g(tenant, key, n)
         LEFT JOIN ${this.schema}.webhook_events e ON e.tenant = g.tenant AND e.dedupe_key = g.key
        ORDER BY g.n`,
      [events.map(({ tenant }) => tenant), events.map(({ key }) => key)],
    );
    return rows.map(({ id, content_hash: contentHash, deliveries }) =>
      id === null ? undefined : { outboxId: id, contentHash, deliveries },
    );
  }

  /** Takes back what a transaction inserted before it found that it must not; nobody else has seen it. */
  async remove(on: Queryable, outboxIds: readonly string[]): Promise<void> {
    await on.query(
      `WITH delivery AS (DELETE FROM ${this.schema}.webhook_deliveries WHERE event_id = ANY ($1::uuid[])),
       hand_off AS (DELETE FROM ${this.schema}.webhook_hand_offs WHERE event_id = ANY ($1::uuid[]))
       DELETE FROM ${this.schema}.webhook_events WHERE id = ANY ($1::uuid[])`,
      [outboxIds],
    );
  }

  private graceOf(parameter: string): string | undefined {
    return this.handOffGraceMs === undefined ? undefined : parameter;
  }

  private grace(): readonly number[] {
    return this.handOffGraceMs === undefined ? [] : [this.handOffGraceMs];
  }
}
