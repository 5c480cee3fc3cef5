import type pg from 'pg';

export interface DueDeliveries {
  readonly events: number;
  /** For how long they have been due, as Postgres writes it. */
  readonly dueFor: string;
  /** For which endpoints, as a condition on `nth` in the order of their ids, from 1. Default: all. */
  readonly endpoints?: string;
}

/** By plain SQL, as nobody could send so many in a test: an event's delivery for each of the endpoints. */
export async function insertDue(admin: pg.Pool, { events, dueFor, endpoints = 'true' }: DueDeliveries): Promise<void> {
  await admin.query(
    `INSERT INTO baton.webhook_events (id, tenant, dedupe_key, type, body, content_hash, created_at)
     SELECT gen_random_uuid(), '', n::text, 'a', '{}', '', now() FROM generate_series(1, $1::int) n`,
    [events],
  );
  await admin.query(
    `INSERT INTO baton.webhook_deliveries (event_id, endpoint_id, state, next_at, fence, attempts, lease_losses, created_at)
     SELECT e.id, p.id, 'ready', now() - $1::interval, 0, 0, 0, now()
       FROM baton.webhook_events e, (SELECT id, row_number() OVER (ORDER BY id) AS nth FROM baton.webhook_endpoints) p WHERE ${endpoints}`,
    [dueFor],
  );
}
