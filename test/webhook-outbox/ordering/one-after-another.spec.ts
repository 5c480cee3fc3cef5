import { waitFor } from '@nest-baton/testing';
import { arrived, keyed, statesOf } from './lines.js';
import { OutboxWorld } from '../support/outbox-world.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

describe("an endpoint with order: 'strict'", () => {
  it('gets the events of a key one after another, in order, also those that are tried again', async () => {
    const app = await world.start();
    await world.endpoint(app, 'x', { order: 'strict' });
    const failing = new Set([0, 2]);
    world.receiver.answerWhere({ path: '/x' }, () =>
      failing.delete(arrived(world, 'x').at(-1)!) ? { status: 500, delayMs: 30 } : { delayMs: 30 },
    );
    for (const n of [0, 1]) await app.outbox.send(keyed(n));
    await app.outbox.sendMany([2, 3, 4].map((n) => keyed(n)));
    await world.settled(5);
    expect(arrived(world, 'x')).toEqual([0, 0, 1, 2, 2, 3, 4]);
    expect(world.receiver.maxConcurrentRequests).toBe(1);
    expect(await world.deliveries()).toMatchObject(
      [0, 1, 2, 3, 4].map((n) => ({ state: 'delivered', seq: String(n + 1) })),
    );
  });

  it('gets other keys, and events without one, meanwhile; other endpoints wait for nothing', async () => {
    const app = await world.start();
    await world.endpoint(app, 'x', { order: 'strict' });
    await world.endpoint(app, 'y');
    world.receiver.answerWhere({ path: '/x' }, (request) =>
      request.body.includes('"slow"') ? { instead: 'never' } : {},
    );
    await app.outbox.sendMany([
      keyed(0, 'slow'),
      keyed(1, 'slow'),
      keyed(0),
      keyed(1),
      { type: 'a', data: { key: 'none', n: 0 } },
    ]);
    await world.received('y', 5);
    await waitFor(() => arrived(world, 'x').length === 2 && arrived(world, 'x', 'none').length === 1, {
      description: 'the others',
    });
    expect(arrived(world, 'x', 'slow')).toEqual([0]);
    const rows = await world.deliveries();
    expect(rows.filter(({ line_id }) => line_id === null)).toHaveLength(6);
    expect(rows.filter(({ state }) => state === 'queued')).toHaveLength(1);
  });

  it('gets what was committed first first, whatever was sent first, and no hole for what was rolled back', async () => {
    const app = await world.start();
    await world.endpoint(app, 'x', { order: 'strict' });
    const first = app.dataSource.createQueryRunner();
    await first.startTransaction();
    await app.outbox.send(keyed(0), { transaction: first });
    const second = app.outbox.send(keyed(1));
    const rolledBack = app.dataSource.createQueryRunner();
    await rolledBack.startTransaction();
    await app.outbox.send(keyed(0, 'other'), { transaction: rolledBack });
    await rolledBack.rollbackTransaction();
    await app.outbox.send(keyed(1, 'other'));
    await waitFor(() => arrived(world, 'x', 'other').length === 1, { description: 'the other key' });
    expect(await world.deliveries()).toHaveLength(1);
    await first.commitTransaction();
    await second;
    await world.received('x', 3);
    expect(arrived(world, 'x')).toEqual([0, 1]);
    await world.settled(3);
    expect((await world.deliveries()).map(({ seq }) => seq)).toEqual(expect.arrayContaining(['1', '1', '2']));
    await first.release();
    await rolledBack.release();
  });

  it('has a repetition of an id once, and finds another key under it a conflict', async () => {
    const app = await world.start();
    await world.endpoint(app, 'x', { order: 'strict' });
    await app.outbox.send({ ...keyed(0), id: 'e' });
    expect(await app.outbox.send({ ...keyed(0), id: 'e' })).toMatchObject({ duplicate: true });
    await expect(app.outbox.send({ ...keyed(0), id: 'e', orderKey: 'other' })).rejects.toMatchObject({
      code: 'EVENT_CONFLICT',
    });
    await app.outbox.send(keyed(1));
    await world.settled(2);
    expect(arrived(world, 'x')).toEqual([0, 1]);
  });

  it('keeps its order: what it was made with cannot be changed, onDead can', async () => {
    const app = await world.start();
    const strict = await world.endpoint(app, 'x', { order: 'strict' });
    const plain = await world.endpoint(app, 'y');
    expect(strict).toMatchObject({ order: 'strict', onDead: 'halt' });
    expect(plain).toMatchObject({ order: 'none', onDead: null });
    expect(await app.endpoints.update(strict.id, { onDead: 'skip' })).toMatchObject({
      order: 'strict',
      onDead: 'skip',
    });
    for (const call of [
      () => app.endpoints.update(plain.id, { onDead: 'skip' }),
      () => app.endpoints.update(strict.id, { order: 'none' } as never),
      () => app.endpoints.update(strict.id, { onDead: 'wait' as never }),
      () => world.endpoint(app, 'z', { order: 'sometimes' as never }),
      () => world.endpoint(app, 'z', { onDead: 'halt' }),
    ])
      await expect(call()).rejects.toMatchObject({ code: 'ENDPOINT_INVALID' });
  });

  it.each(['', 'x'.repeat(257), 'a\0', 7])('refuses the key %j', async (orderKey) => {
    const app = await world.start({ role: 'producer' });
    await expect(app.outbox.send({ ...keyed(0), orderKey: orderKey as string })).rejects.toMatchObject({
      code: 'EVENT_INVALID',
    });
  });
});

describe('producers of the same keys', () => {
  it('never wait for each other in a circle, whatever the order of keys in their calls', async () => {
    const app = await world.start({ role: 'producer' }, 12);
    for (const path of ['x', 'y', 'z']) await world.endpoint(app, path, { order: 'strict' });
    const keys = ['a', 'b', 'c', 'd', 'e'];
    const call = (round: number) =>
      app.outbox.sendMany(
        Array.from({ length: 20 }, (_, n) => keyed(n, keys[(n * (round % 2 === 0 ? 1 : 4) + round) % 5])),
      );
    const sent = await Promise.all(Array.from({ length: 24 }, (_, round) => call(round)));
    expect(sent.flat().every(({ deliveries }) => deliveries === 3)).toBe(true);
    const { rows } = await world.admin.query<{ n: number; places: number; last: string }>(
      `SELECT count(*)::int AS n, count(DISTINCT d.seq)::int AS places, max(l.last_seq) AS last
         FROM baton.webhook_lines l JOIN baton.webhook_deliveries d ON d.line_id = l.id GROUP BY l.id`,
    );
    expect(rows).toHaveLength(15);
    for (const row of rows) expect(row).toEqual({ n: 96, places: 96, last: '96' });
    // Who has the turn is found out after the commit, where hints are off by a relay alone.
    expect((await statesOf(world)).filter((state) => state !== 'queued' && state !== 'ready')).toEqual([]);
  });

  it('are told by the database to begin anew, in a transaction that sees only what was before it', async () => {
    const app = await world.start({ role: 'producer' });
    await world.endpoint(app, 'x', { order: 'strict' });
    await app.outbox.send(keyed(0));
    const stale = app.dataSource.createQueryRunner();
    await stale.startTransaction('REPEATABLE READ');
    await stale.query('SELECT 1 FROM baton.webhook_lines');
    await app.outbox.send(keyed(1));
    await expect(app.outbox.send(keyed(2), { transaction: stale })).rejects.toMatchObject({
      driverError: { code: '40001' },
    });
    await stale.rollbackTransaction();
    await stale.release();
  });
});

describe('an event that many endpoints want', () => {
  it('has its place in each order when it is sent, and its other deliveries by a relay', async () => {
    const app = await world.start();
    await world.endpoint(app, 'x', { order: 'strict' });
    await world.endpoint(app, 'y', { order: 'strict' });
    await world.admin.query(
      `INSERT INTO baton.webhook_endpoints (id, tenant, url, types, header_names, state, version, created_at, updated_at)
       SELECT gen_random_uuid(), '', 'https://example.com', '{*}', '{}', 'disabled', 1, now(), now() FROM generate_series(1, 250)`,
    );
    const fannedOut: unknown[] = [];
    app.outbox.on('fannedOut', (event) => fannedOut.push(event));
    const runner = app.dataSource.createQueryRunner();
    await runner.startTransaction();
    expect(await app.outbox.send(keyed(0), { transaction: runner })).toMatchObject({ deliveries: null });
    const placed = await runner.query('SELECT seq FROM baton.webhook_deliveries');
    expect(placed).toEqual([{ seq: '1' }, { seq: '1' }]);
    // Made after it was sent, so it is not for it.
    await world.endpoint(app, 'late', { order: 'strict' });
    await runner.commitTransaction();
    await runner.release();
    await app.outbox.send(keyed(1));
    await world.received('x', 2);
    await world.received('y', 2);
    await waitFor(() => fannedOut.length === 2, { description: 'both fan-outs' });
    expect(arrived(world, 'x')).toEqual([0, 1]);
    expect(arrived(world, 'y')).toEqual([0, 1]);
    expect(arrived(world, 'late')).toEqual([1]);
    expect(fannedOut).toMatchObject([{ deliveries: 252 }, { deliveries: 253 }]);
    const { rows } = await world.admin.query(
      'SELECT count(*)::int AS n FROM baton.webhook_deliveries WHERE line_id IS NULL',
    );
    expect(rows).toEqual([{ n: 500 }]);
  });
});
