import type { Queryable } from '@nest-baton/core';
import type { EventText } from './event-text.js';

/** What `insert` found or made. */
export interface StoredEvent {
  /** `null`: nobody subscribed and nothing is stored under the key, or a concurrent insert won and is not visible to this statement. */
  readonly outboxId: string | null;
  readonly contentHash: Buffer | null;
  readonly subscribers: number;
  readonly deliveries: number;
  readonly wasInserted: boolean;
}

/** The statements of `send`. They run on the module's pool or in the caller's transaction. */
export class EventStore {
  constructor(private readonly schema: string) {}

  /**
   * Stores the event and one delivery for each active endpoint of its tenant whose types match, in one statement; nothing when there is no
   * such endpoint, or when the key is taken.
   *
   * Race: two transactions with one key. The unique index makes the second wait until the first has ended, and `DO NOTHING` makes it insert
   * nothing then: no error that would abort the caller's transaction. Its own snapshot may be older than the winner's commit, in which
   * case `outboxId` is null although there are subscribers, and `find` reads the winner.
   */
  async insert(on: Queryable, id: string, key: string, event: EventText): Promise<StoredEvent> {
    const { rows } = await on.query<InsertRow>(
      `WITH existing AS (
         SELECT id, content_hash FROM ${this.schema}.webhook_events WHERE tenant = $2 AND dedupe_key = $3
       ), subscriber AS (
         SELECT e.id FROM ${this.schema}.webhook_endpoints e
          WHERE e.tenant = $2 AND e.state = 'active'
            AND EXISTS (SELECT FROM unnest(e.types) t WHERE $4 LIKE replace(replace(t, '_', '!_'), '*', '%') ESCAPE '!')
       ), event AS (
         INSERT INTO ${this.schema}.webhook_events (id, tenant, dedupe_key, type, body, content_hash, created_at)
         SELECT $1::uuid, $2, $3, $4, $5, $6::bytea, clock_timestamp()
          WHERE EXISTS (SELECT FROM subscriber) AND NOT EXISTS (SELECT FROM existing)
             ON CONFLICT (tenant, dedupe_key) DO NOTHING
         RETURNING id
       ), delivery AS (
         INSERT INTO ${this.schema}.webhook_deliveries
                (event_id, endpoint_id, state, next_at, fence, attempts, lease_losses, created_at)
         SELECT event.id, subscriber.id, 'ready', clock_timestamp(), 0, 0, 0, clock_timestamp() FROM event, subscriber
          ORDER BY subscriber.id
         RETURNING id
       )
       SELECT (SELECT id FROM event) AS inserted_id,
              (SELECT id FROM existing) AS existing_id,
              (SELECT content_hash FROM existing) AS content_hash,
              (SELECT count(*)::int FROM subscriber) AS subscribers,
              (SELECT count(*)::int FROM delivery) AS deliveries`,
      [id, event.tenant, key, event.type, event.body, event.contentHash],
    );
    const [row] = rows;
    return {
      outboxId: row?.inserted_id ?? row?.existing_id ?? null,
      contentHash: row?.content_hash ?? null,
      subscribers: row?.subscribers ?? 0,
      deliveries: row?.deliveries ?? 0,
      wasInserted: row?.inserted_id != null,
    };
  }

  /** The committed event under a key, with how many deliveries were made of it. Locks nothing. */
  async find(
    on: Queryable,
    tenant: string,
    key: string,
  ): Promise<{ readonly outboxId: string; readonly contentHash: Buffer; readonly deliveries: number } | undefined> {
    const { rows } = await on.query<{ id: string; content_hash: Buffer; deliveries: number }>(
      `SELECT e.id, e.content_hash,
              (SELECT count(*)::int FROM ${this.schema}.webhook_deliveries d WHERE d.event_id = e.id) AS deliveries
         FROM ${this.schema}.webhook_events e WHERE e.tenant = $1 AND e.dedupe_key = $2`,
      [tenant, key],
    );
    const [row] = rows;
    return row && { outboxId: row.id, contentHash: row.content_hash, deliveries: row.deliveries };
  }
}

interface InsertRow {
  readonly inserted_id: string | null;
  readonly existing_id: string | null;
  readonly content_hash: Buffer | null;
  readonly subscribers: number;
  readonly deliveries: number;
}
