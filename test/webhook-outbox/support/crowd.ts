import type { OutboxApp, OutboxWorld } from './outbox-world.js';

/** So many endpoints of a tenant that requests can be sent to, at the path `<tenant>`. */
export async function subscribeMany(world: OutboxWorld, app: OutboxApp, tenant: string, count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, () => world.endpoint(app, tenant, { tenant })));
}

/** So many endpoints that are disabled, and quick to make: their deliveries are parked. In order of id they come behind all others. */
export async function subscribeDisabled(world: OutboxWorld, tenant: string, count: number): Promise<void> {
  await world.admin.query(
    `INSERT INTO baton.webhook_endpoints (id, tenant, url, types, header_names, state, version, created_at, updated_at)
     SELECT ('ffffffff' || substr(gen_random_uuid()::text, 9))::uuid, $1, 'https://example.com', '{*}', '{}', 'disabled', 1, now(), now() FROM generate_series(1, $2)`,
    [tenant, count],
  );
}

/** How many deliveries there are of an event, and of how many endpoints. */
export async function made(world: OutboxWorld, outboxId: string | null): Promise<{ rows: number; endpoints: number }> {
  const { rows } = await world.admin.query<{ rows: number; endpoints: number }>(
    `SELECT count(*)::int AS rows, count(DISTINCT endpoint_id)::int AS endpoints FROM baton.webhook_deliveries WHERE event_id = $1`,
    [outboxId],
  );
  return rows[0] ?? { rows: -1, endpoints: -1 };
}
