import { waitFor } from '@nest-baton/testing';
import { type OutboxApp, OutboxWorld } from './support/outbox-world.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

/** Cleans up all the time; keeps nothing for long. */
function start(): Promise<OutboxApp> {
  return world.start({
    cleanupInterval: '50ms',
    breakerFailures: 0,
    retention: { delivered: '1h', failed: '1h', dead: '1h', abandoned: '1h', parked: '1h', expired: '1h' },
  });
}

async function ids(table: string, column = 'id'): Promise<string[]> {
  const { rows } = await world.admin.query<{ id: string }>(`SELECT ${column} AS id FROM baton.${table} ORDER BY 1`);
  return rows.map(({ id }) => id);
}

async function ageDeletion(id: string, interval: string): Promise<void> {
  await world.admin.query(
    `UPDATE baton.webhook_endpoints SET updated_at = updated_at - $2::interval WHERE id = $1 AND state = 'deleted'`,
    [id, interval],
  );
}

/** A cleanup that began after the call has ended: something that only it removes is gone. */
async function cleanedUp(app: OutboxApp): Promise<void> {
  const { id } = await world.endpoint(app, 'marker', { tenant: 'marker' });
  await app.endpoints.delete(id);
  await ageDeletion(id, '40 d');
  await waitFor(async () => !(await ids('webhook_endpoints')).includes(id), { description: 'the cleanup' });
}

describe('an endpoint that was deleted', () => {
  it('is removed with all that there is of it, once none of its deliveries is left', async () => {
    const app = await start();
    const { id: kept } = await world.endpoint(app, 'kept', { types: ['kept'] });
    const { id: off } = await world.endpoint(app, 'off', { types: ['kept'] });
    await app.endpoints.disable(off);
    const { id } = await world.endpoint(app, 'x', { types: ['a'] });
    await app.outbox.send({ type: 'a', data: 1 });
    await world.settled(1);
    await app.endpoints.delete(id);
    // As left by whoever was late.
    await world.admin.query(
      `INSERT INTO baton.webhook_endpoint_states (endpoint_id, breaker, failures, failing_events) VALUES ($1, 'closed', 1, 1)`,
      [id],
    );
    await ageDeletion(id, '40 d');
    await world.admin.query(
      `UPDATE baton.webhook_deliveries SET settled_at = settled_at - interval '40 d' + interval '50 min'`,
    );
    await world.admin.query(`UPDATE baton.webhook_events SET created_at = created_at - interval '40 d'`);
    await cleanedUp(app);
    await waitFor(async () => (await ids('webhook_endpoints')).length === 2, { description: 'its end' });
    expect(new Set(await ids('webhook_endpoints'))).toEqual(new Set([kept, off]));
    expect(await ids('webhook_endpoint_states', 'endpoint_id')).toEqual([]);
    expect(new Set(await ids('webhook_secrets', 'endpoint_id'))).toEqual(new Set([kept, off]));
  });

  it.each([
    ['failed', `settled_at = now() - interval '1 min'`],
    ['abandoned', `settled_at = now() - interval '1 min'`],
    ['leased', `lease_until = now() + interval '1 h', settled_at = NULL`],
    ['dead', `settled_at = now() - interval '1 min'`],
  ])('stays while a delivery of it is %s', async (state, how) => {
    const app = await start();
    const { id } = await world.endpoint(app, 'x', { types: ['a'] });
    await app.outbox.send({ type: 'a', data: 1 });
    await world.settled(1);
    await app.endpoints.delete(id);
    await world.admin.query(`UPDATE baton.webhook_deliveries SET state = $1, ${how}`, [state]);
    await ageDeletion(id, '26 h');
    await cleanedUp(app);
    expect(await ids('webhook_endpoints')).toEqual([id]);
    const deliveries = app.deliveries;
    expect((await deliveries.list()).deliveries).toMatchObject([{ endpointId: id, state }]);
  });

  it('stays for a day longer than what is delivered, for producers whose transactions are open', async () => {
    const app = await start();
    const { id } = await world.endpoint(app, 'x');
    await app.endpoints.delete(id);
    await ageDeletion(id, '24 h');
    await cleanedUp(app);
    expect(await ids('webhook_endpoints')).toEqual([id]);
    await ageDeletion(id, '61 min');
    await cleanedUp(app);
    expect(await ids('webhook_endpoints')).toEqual([]);
  });
});

describe('a secret that has expired', () => {
  it('is removed by the next cleanup, and no other', async () => {
    const app = await start();
    const { id } = await world.endpoint(app, 'x');
    await app.endpoints.rotateSecret(id, { expireOldAfter: '1h' });
    await app.endpoints.rotateSecret(id, { expireOldAfter: '1h' });
    const before = (await app.endpoints.get(id)).secrets;
    expect(before).toHaveLength(3);
    const oldest = before.at(-1)!;
    await world.admin.query('UPDATE baton.webhook_secrets SET expires_at = now() WHERE id = $1', [oldest.id]);
    await waitFor(async () => !(await ids('webhook_secrets')).includes(oldest.id), { description: 'its end' });
    await cleanedUp(app);
    expect((await app.endpoints.get(id)).secrets).toEqual(before.slice(0, 2));
    expect(await ids('webhook_secrets')).toHaveLength(2);
    await app.outbox.send({ type: 'a', data: 1 });
    expect((await world.settled(1))[0]).toMatchObject({ state: 'delivered' });
  });
});
