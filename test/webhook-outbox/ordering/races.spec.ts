import { startProcess, waitFor } from '@nest-baton/testing';
import { DataSource } from 'typeorm';
import { LineStore } from '../../../libs/webhook-outbox/src/ordering/line-store.js';
import { RetentionStore } from '../../../libs/webhook-outbox/src/retaining/retention-store.js';
import { resolveRetention } from '../../../libs/webhook-outbox/src/retaining/retention.options.js';
import { OutboxDatabase } from '../../../libs/webhook-outbox/src/schema/outbox-database.js';
import { StatementGate } from '../support/gates.js';
import { arrived, keyed, statesOf } from './lines.js';
import { OutboxWorld, TEST_OPTIONS } from '../support/outbox-world.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

async function connect(poolSize: number): Promise<{ database: OutboxDatabase; end: () => Promise<void> }> {
  const dataSource = await new DataSource({ type: 'postgres', url: world.url, poolSize }).initialize();
  const database = new OutboxDatabase({ schema: 'baton', migrations: 'verify' }, () => dataSource);
  return { database, end: () => dataSource.destroy() };
}

describe('the turn of the next', () => {
  it('comes although the relay that settled the one before is killed before it could say so', async () => {
    const producer = await world.start({ role: 'producer', hints: 'off' });
    await world.endpoint(producer, 'x', { order: 'strict' });
    await producer.outbox.sendMany([0, 1, 2].map((n) => keyed(n)));
    const gate = await StatementGate.before(
      world.admin,
      'UPDATE ON baton.webhook_deliveries',
      `OLD.state = 'queued' AND NEW.state = 'ready' AND NEW.seq = 2`,
    );
    const child = await startProcess({
      entry: 'test/webhook-outbox/support/relay-program.ts',
      args: [world.url, JSON.stringify(TEST_OPTIONS)],
    });
    await waitFor(() => gate.isReached(), { timeoutMs: 30_000, description: 'the promotion to be held' });
    child.signal('SIGKILL');
    await child.exited;
    await gate.endHeldStatements();
    await gate.open();
    expect(await statesOf(world)).toEqual(['delivered', 'queued', 'queued']);
    await world.start();
    await world.settled(3);
    expect(arrived(world, 'x')).toEqual([0, 1, 2]);
  });

  it('comes although the one before was settled by a version that knows no order', async () => {
    const producer = await world.start({ role: 'producer' });
    await world.endpoint(producer, 'x', { order: 'strict' });
    await producer.outbox.sendMany([0, 1].map((n) => keyed(n)));
    await world.admin.query(
      `UPDATE baton.webhook_deliveries SET state = 'delivered', settled_at = now() WHERE seq = 1`,
    );
    await world.start();
    await world.settled(2);
    expect(arrived(world, 'x')).toEqual([1]);
  });

  it('does not wait for a transaction that adds to the key', async () => {
    const producer = await world.start({ role: 'producer', hints: 'off' });
    await world.endpoint(producer, 'x', { order: 'strict' });
    await producer.outbox.send(keyed(0));
    const runner = producer.dataSource.createQueryRunner();
    await runner.startTransaction();
    await producer.outbox.send(keyed(1), { transaction: runner });
    await world.start();
    await world.settled(1);
    await runner.commitTransaction();
    await runner.release();
    await world.settled(2);
    expect(arrived(world, 'x')).toEqual([0, 1]);
  });

  it('is had by one delivery of a line, however many look, settle and replay at the same time', async () => {
    const producer = await world.start({ role: 'producer', hints: 'off' });
    await world.endpoint(producer, 'x', { order: 'strict', onDead: 'skip' });
    const keys = Array.from({ length: 10 }, (_, n) => `k${n}`);
    await producer.outbox.sendMany(keys.flatMap((key) => [0, 1, 2, 3, 4].map((n) => keyed(n, key))));
    const { database, end } = await connect(8);
    const store = new LineStore(database, database.schema);
    const lines = (await world.admin.query<{ id: string }>('SELECT id FROM baton.webhook_lines')).rows.map(
      ({ id }) => id,
    );
    let isOver = false;
    const repeat = async (step: () => Promise<unknown>): Promise<void> => {
      while (!isOver) await step();
    };
    const settle = () =>
      database.query(
        `UPDATE baton.webhook_deliveries SET state = (ARRAY['delivered', 'dead'])[1 + (random() * 1)::int] WHERE id IN (
           SELECT id FROM baton.webhook_deliveries WHERE state = 'ready' ORDER BY id FOR UPDATE SKIP LOCKED)`,
      );
    const replay = () =>
      database.query(
        `UPDATE baton.webhook_deliveries SET state = 'queued' WHERE id IN (
           SELECT id FROM baton.webhook_deliveries WHERE state IN ('delivered', 'dead') ORDER BY random() LIMIT 3 FOR UPDATE SKIP LOCKED)`,
      );
    const looks = [
      () => store.promote(lines, []),
      () => store.promote(lines, []),
      () => store.sweep({ endpointId: '00000000-0000-0000-0000-000000000000', lineId: '0' }),
    ];
    const all = Promise.all([...looks, settle, settle, replay, replay].map(repeat));
    await producer.dataSource.query('SELECT pg_sleep(3)');
    isOver = true;
    await all;
    const { rows } = await world.admin.query<{ most: number }>(
      `SELECT max(n)::int AS most FROM (SELECT count(*) AS n FROM baton.webhook_deliveries WHERE state IN ('ready', 'leased') GROUP BY line_id) t`,
    );
    expect(rows[0]!.most ?? 0).toBeLessThanOrEqual(1);
    await end();
  });
});

describe('a line of which nothing is left', () => {
  it('is removed, and never under an event that is added meanwhile', async () => {
    const producer = await world.start({ role: 'producer', hints: 'off' });
    await world.endpoint(producer, 'x', { order: 'strict' });
    const { database, end } = await connect(4);
    const retention = resolveRetention(undefined, () => undefined);
    const store = new RetentionStore(database, database.schema, retention);
    let isOver = false;
    let removed = 0;
    const removing = Promise.all(
      [1, 2].map(async () => {
        while (!isOver) removed += (await store.removeLines('0', 500)).lines;
      }),
    );
    const orphans = async () =>
      (
        await world.admin.query(
          'SELECT FROM baton.webhook_deliveries d WHERE NOT EXISTS (SELECT FROM baton.webhook_lines l WHERE l.id = d.line_id)',
        )
      ).rowCount;
    for (let round = 0; round < 60; round++) {
      await Promise.all([0, 1, 2].map((n) => producer.outbox.send(keyed(n, `k${round % 3}`))));
      expect(await orphans()).toBe(0);
      await world.admin.query('DELETE FROM baton.webhook_deliveries');
    }
    await waitFor(async () => (await world.admin.query('SELECT FROM baton.webhook_lines')).rowCount === 0, {
      description: 'the end',
    });
    isOver = true;
    await removing;
    expect(removed).toBeGreaterThan(10);
    await end();
  });
});
