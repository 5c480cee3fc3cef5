import { randomToken } from '@nest-baton/core';
import { waitFor } from '@nest-baton/testing';
import { DataSource } from 'typeorm';
import { header, type OutboxApp, OutboxWorld } from './support/outbox-world.js';

/** Of this database only: others are tested on the same server at the same time. */
const WAITING = `SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
                  WHERE NOT granted AND locktype = 'transactionid' AND datname = current_database()`;

let world: OutboxWorld;
let app: OutboxApp;
beforeAll(async () => {
  world = await OutboxWorld.create();
  app = await world.start();
});
afterAll(() => world.stop());

/** A tenant and a path of the test's own. */
async function subscribe(types?: string[]) {
  const tenant = randomToken(10);
  const endpoint = await world.endpoint(app, tenant, types === undefined ? { tenant } : { tenant, types });
  return { tenant, endpoint };
}

async function countEvents(tenant: string): Promise<number> {
  const { rows } = await world.admin.query<{ n: number }>(
    'SELECT count(*)::int AS n FROM baton.webhook_events WHERE tenant = $1',
    [tenant],
  );
  return rows[0]?.n ?? -1;
}

describe('send', () => {
  it('stores and delivers an event that was sent without a transaction, signed for the standardwebhooks library', async () => {
    const { tenant, endpoint } = await subscribe();
    const sent = await app.outbox.send({ type: 'run.done', tenant, data: { id: 'r1', text: 'ä\u0000\ud800' } });
    expect(sent).toMatchObject({ deliveries: 1, duplicate: false, state: 'persisted' });
    const [request] = await world.received(tenant, 1);
    expect(world.receiver.verify(request!, endpoint.secret)).toBe(true);
    expect(header(request!, 'webhook-id')).toMatch(/^msg_[0-9a-f]{32}$/);
    expect(header(request!, 'content-type')).toBe('application/json');
    const body = JSON.parse(request!.body.toString());
    expect(Object.keys(body)).toEqual(['type', 'timestamp', 'data']);
    expect(body).toMatchObject({ type: 'run.done', data: { id: 'r1' } });
  });

  it('delivers after the commit of an EntityManager transaction, and not before', async () => {
    const { tenant } = await subscribe();
    await app.dataSource.transaction(async (transaction) => {
      await app.outbox.send({ type: 'a', tenant, data: 1 }, { transaction });
      await app.context.get(DataSource).query('SELECT pg_sleep(0.3)');
      expect(world.requests(tenant)).toHaveLength(0);
    });
    await world.received(tenant, 1);
  });

  it('delivers after the commit of a QueryRunner, also out of a savepoint', async () => {
    const { tenant } = await subscribe();
    const runner = app.dataSource.createQueryRunner();
    await runner.startTransaction();
    await runner.startTransaction();
    await app.outbox.send({ type: 'kept', tenant, data: 1 }, { transaction: runner });
    await runner.commitTransaction();
    await runner.startTransaction();
    await app.outbox.send({ type: 'dropped', tenant, data: 2 }, { transaction: runner });
    await runner.rollbackTransaction();
    await runner.commitTransaction();
    await runner.release();
    const [request] = await world.received(tenant, 1);
    expect(JSON.parse(request!.body.toString()).type).toBe('kept');
    expect(await countEvents(tenant)).toBe(1);
  });

  it('leaves nothing of a transaction that was rolled back', async () => {
    const { tenant } = await subscribe();
    const failing = app.dataSource.transaction(async (transaction) => {
      await app.outbox.send({ type: 'a', tenant, data: 1 }, { transaction });
      throw new Error('rolled back by the test');
    });
    await expect(failing).rejects.toThrow('rolled back by the test');
    expect(await countEvents(tenant)).toBe(0);
  });

  it('refuses a manager without a transaction, a pg client, and the transaction of another DataSource', async () => {
    const { tenant } = await subscribe();
    const event = { type: 'a', tenant, data: 1 };
    const refused = { code: 'NOT_IN_TRANSACTION' };
    await expect(app.outbox.send(event, { transaction: app.dataSource.manager })).rejects.toMatchObject(refused);
    const client = await world.admin.connect();
    await client.query('BEGIN');
    await expect(app.outbox.send(event, { transaction: client })).rejects.toMatchObject(refused);
    await client.query('ROLLBACK');
    client.release();
    const other = await new DataSource({ type: 'postgres', url: world.url }).initialize();
    await other.transaction(async (transaction) => {
      await expect(app.outbox.send(event, { transaction })).rejects.toMatchObject(refused);
    });
    await other.destroy();
    expect(await countEvents(tenant)).toBe(0);
  });

  it('stores no row when nobody subscribed to the type or tenant', async () => {
    const { tenant } = await subscribe(['run.*', 'exact_one']);
    const nobody = { outboxId: null, deliveries: 0, duplicate: false, state: 'nobody_subscribed' };
    expect(await app.outbox.send({ type: 'other', tenant, data: 1 })).toMatchObject(nobody);
    expect(await app.outbox.send({ type: 'exactxone', tenant, data: 1 })).toMatchObject(nobody);
    expect(await app.outbox.send({ type: 'run.done', tenant: `${tenant}x`, data: 1 })).toMatchObject(nobody);
    expect(await countEvents(tenant)).toBe(0);
    expect(await app.outbox.send({ type: 'run.done', tenant, data: 1 })).toMatchObject({ deliveries: 1 });
    expect(await app.outbox.send({ type: 'exact_one', tenant, data: 1 })).toMatchObject({ deliveries: 1 });
  });

  it('recognises a repetition by its id, and refuses other content under it', async () => {
    const { tenant } = await subscribe();
    const first = await app.outbox.send({ type: 'a', tenant, id: 'one', data: { x: 1 } });
    const again = await app.outbox.send({ type: 'a', tenant, id: 'one', data: { x: 1 } });
    expect(again).toEqual({ ...first, duplicate: true });
    await expect(app.outbox.send({ type: 'a', tenant, id: 'one', data: { x: 2 } })).rejects.toMatchObject({
      code: 'EVENT_CONFLICT',
    });
    await world.received(tenant, 1);
    expect(await countEvents(tenant)).toBe(1);
  });

  it("leaves the caller's transaction usable after a conflict", async () => {
    const { tenant } = await subscribe();
    await app.outbox.send({ type: 'a', tenant, id: 'one', data: 1 });
    await app.dataSource.transaction(async (transaction) => {
      await expect(app.outbox.send({ type: 'a', tenant, id: 'one', data: 2 }, { transaction })).rejects.toMatchObject({
        code: 'EVENT_CONFLICT',
      });
      await app.outbox.send({ type: 'a', tenant, id: 'two', data: 2 }, { transaction });
    });
    expect(await countEvents(tenant)).toBe(2);
  });

  it('lets one of two concurrent transactions win an id; the other sees the duplicate', async () => {
    const { tenant } = await subscribe();
    const [first, second] = [app.dataSource.createQueryRunner(), app.dataSource.createQueryRunner()];
    await first.startTransaction();
    await second.startTransaction();
    const event = { type: 'a', tenant, id: 'one', data: 1 };
    const won = await app.outbox.send(event, { transaction: first });
    const waiting = app.outbox.send(event, { transaction: second });
    await waitFor(async () => (await world.admin.query(WAITING)).rowCount === 1, {
      description: 'the second send to wait for the first',
    });
    await first.commitTransaction();
    expect(await waiting).toEqual({ ...won, duplicate: true });
    await second.commitTransaction();
    await first.release();
    await second.release();
  });

  it('refuses what cannot be sent, before anything is written', async () => {
    const { tenant } = await subscribe();
    const cycle: Record<string, unknown> = {};
    cycle['self'] = cycle;
    const invalid = [
      { type: 'with space', data: 1 },
      { type: '.a', data: 1 },
      { type: 'a', data: undefined },
      { type: 'a', data: 1n },
      { type: 'a', data: cycle },
      { type: 'a', data: 1, id: '' },
      { type: 'a', data: 1, id: 'a\0b' },
    ];
    for (const event of invalid)
      await expect(app.outbox.send({ tenant, ...event })).rejects.toMatchObject({ code: 'EVENT_INVALID' });
    await expect(app.outbox.send({ type: 'a', tenant, data: 'x'.repeat(300_000) })).rejects.toMatchObject({
      code: 'PAYLOAD_TOO_LARGE',
    });
    expect(await countEvents(tenant)).toBe(0);
  });

  it('tells PERSIST_UNKNOWN with the id when the backend dies in the statement, and the repetition settles it', async () => {
    const { tenant } = await subscribe();
    const blocker = await world.admin.connect();
    await blocker.query('BEGIN');
    await blocker.query('LOCK TABLE baton.webhook_events IN ACCESS EXCLUSIVE MODE');
    const sending = app.outbox.send({ type: 'a', tenant, id: 'one', data: 1 }).catch((error: unknown) => error);
    await waitFor(
      async () => {
        const { rowCount } = await world.admin.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%webhook_events (id, tenant%'`,
        );
        return rowCount === 1;
      },
      { description: 'the insert to wait for the lock' },
    );
    expect(await sending).toMatchObject({ code: 'PERSIST_UNKNOWN', eventId: 'one', retryable: true });
    await blocker.query('ROLLBACK');
    blocker.release();
    expect(await app.outbox.send({ type: 'a', tenant, id: 'one', data: 1 })).toMatchObject({
      id: 'one',
      deliveries: 1,
    });
  });
});
