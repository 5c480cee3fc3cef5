import { randomToken } from '@nest-baton/core';
import { waitFor } from '@nest-baton/testing';
import type { WebhookEvent } from '@nest-baton/webhook-outbox';
import { type OutboxApp, OutboxWorld } from './support/outbox-world.js';

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

async function subscribe(types = ['*']): Promise<string> {
  const tenant = randomToken(10);
  await world.endpoint(app, tenant, { tenant, types });
  return tenant;
}

async function idsOf(tenant: string): Promise<readonly string[]> {
  const { rows } = await world.admin.query<{ id: string }>(
    'SELECT dedupe_key AS id FROM baton.webhook_events WHERE tenant = $1 ORDER BY 1',
    [tenant],
  );
  return rows.map(({ id }) => id);
}

async function deliveriesOf(tenant: string): Promise<number> {
  const { rows } = await world.admin.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM baton.webhook_deliveries d JOIN baton.webhook_events e ON e.id = d.event_id WHERE e.tenant = $1`,
    [tenant],
  );
  return rows[0]?.n ?? -1;
}

/** Statements of a call as TypeORM runs them. */
async function statements(one: OutboxApp, call: () => Promise<unknown>): Promise<readonly string[]> {
  const seen: string[] = [];
  const subscriber = {
    beforeQuery: ({ query }: { query: string }) => void seen.push(query.trim().split(/\s/)[0] ?? ''),
  };
  one.dataSource.subscribers.push(subscriber);
  await call();
  one.dataSource.subscribers.splice(one.dataSource.subscribers.indexOf(subscriber), 1);
  return seen;
}

describe('sendMany', () => {
  it('answers in order, each as send would, and delivers each event once', async () => {
    const tenant = await subscribe(['run.*']);
    const before = await app.outbox.send({ type: 'run.done', tenant, id: 'before', data: 0 });
    const sent = await app.outbox.sendMany([
      { type: 'run.done', tenant, id: 'one', data: 1 },
      { type: 'other', tenant, id: 'two', data: 2 },
      { type: 'run.done', tenant, id: 'before', data: 0 },
      { type: 'run.done', tenant, id: 'one', data: 1 },
      { type: 'run.done', tenant, data: 3 },
    ]);
    const persisted = { deliveries: 1, duplicate: false, state: 'persisted' };
    expect(sent).toMatchObject([
      { id: 'one', ...persisted },
      { id: 'two', outboxId: null, deliveries: 0, duplicate: false, state: 'nobody_subscribed' },
      { ...before, duplicate: true },
      { id: 'one', ...persisted, duplicate: true, outboxId: sent[0]?.outboxId },
      persisted,
    ]);
    await world.received(tenant, 3);
    expect((await idsOf(tenant)).length).toBe(3);
    expect(world.requests(tenant)).toHaveLength(3);
  });

  it('is part of the transaction that is given', async () => {
    const tenant = await subscribe();
    const events = [1, 2, 3].map((data) => ({ type: 'a', tenant, id: `${data}`, data }));
    const failing = app.dataSource.transaction(async (transaction) => {
      await app.outbox.sendMany(events, { transaction });
      throw new Error('rolled back by the test');
    });
    await expect(failing).rejects.toThrow('rolled back by the test');
    expect(await idsOf(tenant)).toEqual([]);
    await app.dataSource.transaction((transaction) => app.outbox.sendMany(events, { transaction }));
    await world.received(tenant, 3);
  });

  it('reaches each subscriber of each tenant, and nobody else', async () => {
    const [one, two] = [await subscribe(), await subscribe(['b'])];
    await world.endpoint(app, one, { tenant: one, types: ['b', 'c.*'] });
    const sent = await app.outbox.sendMany(
      ['a', 'b', 'c.d'].flatMap((type) => [one, two].map((tenant) => ({ type, tenant, data: type }))),
    );
    expect(sent.map(({ deliveries }) => deliveries)).toEqual([1, 0, 2, 1, 2, 0]);
    expect([await deliveriesOf(one), await deliveriesOf(two)]).toEqual([5, 1]);
  });

  const bad: [string, unknown, string][] = [
    ['a bad type', { type: 'with space', data: 1 }, 'EVENT_INVALID'],
    ['data that is no JSON', { type: 'a', data: 1n }, 'EVENT_INVALID'],
    ['nothing', null, 'EVENT_INVALID'],
    ['a long body', { type: 'a', data: 'x'.repeat(300_000) }, 'PAYLOAD_TOO_LARGE'],
    ['other content under an id of the list', { type: 'a', id: '1', data: 'other' }, 'EVENT_CONFLICT'],
    ['other content under an id that is stored', { type: 'a', id: 'stored', data: 'other' }, 'EVENT_CONFLICT'],
  ];
  it.each(bad)('stores nothing of a list with %s, and says where it is', async (_what, wrong, code) => {
    const tenant = await subscribe();
    await app.outbox.send({ type: 'a', tenant, id: 'stored', data: 1 });
    const good = [1, 2].map((data) => ({ type: 'a', tenant, id: `${data}`, data }));
    const last = wrong === null ? wrong : { tenant, ...(wrong as object) };
    const refused = { code, index: 2, message: expect.stringContaining('events[2]') };
    const list = [...good, last] as WebhookEvent[];
    await expect(app.outbox.sendMany(list)).rejects.toMatchObject(refused);
    await app.dataSource.transaction(async (transaction) => {
      await expect(app.outbox.sendMany(list, { transaction })).rejects.toMatchObject(refused);
      await app.outbox.send({ type: 'a', tenant, id: 'after', data: 1 }, { transaction });
    });
    expect(await idsOf(tenant)).toEqual(['after', 'stored']);
  });

  it.each(['without a transaction', 'in a transaction'])(
    'stores nothing when another transaction takes an id meanwhile, %s',
    async (how) => {
      const tenant = await subscribe();
      const other = app.dataSource.createQueryRunner();
      await other.startTransaction();
      await app.outbox.send({ type: 'a', tenant, id: 'b', data: 'other' }, { transaction: other });
      const list = ['a', 'b', 'c'].map((id) => ({ type: 'a', tenant, id, data: 1 }));
      const sending =
        how === 'in a transaction'
          ? app.dataSource.transaction(async (transaction) => {
              await expect(app.outbox.sendMany(list, { transaction })).rejects.toMatchObject({ index: 1 });
              throw Object.assign(new Error('as expected'), { code: 'EVENT_CONFLICT', index: 1 });
            })
          : app.outbox.sendMany(list);
      const ended = sending.catch((error: unknown) => error);
      await isWaiting();
      await other.commitTransaction();
      await other.release();
      expect(await ended).toMatchObject({ code: 'EVENT_CONFLICT', index: 1 });
      expect(await idsOf(tenant)).toEqual(['b']);
      expect(await deliveriesOf(tenant)).toBe(1);
    },
  );

  it('leaves nothing in a transaction that goes on after a conflict which only showed after the insert', async () => {
    const tenant = await subscribe();
    const other = app.dataSource.createQueryRunner();
    await other.startTransaction();
    await app.outbox.send({ type: 'a', tenant, id: 'b', data: 'other' }, { transaction: other });
    const going = app.dataSource.transaction(async (transaction) => {
      const list = ['a', 'b', 'c'].map((id) => ({ type: 'a', tenant, id, data: 1 }));
      await expect(app.outbox.sendMany(list, { transaction })).rejects.toMatchObject({ code: 'EVENT_CONFLICT' });
      await app.outbox.send({ type: 'a', tenant, id: 'd', data: 1 }, { transaction });
    });
    await isWaiting();
    await other.commitTransaction();
    await other.release();
    await going;
    expect(await idsOf(tenant)).toEqual(['b', 'd']);
    expect(await deliveriesOf(tenant)).toBe(2);
  });

  it('never deadlocks with another call that has the same ids in another order', async () => {
    const tenant = await subscribe();
    for (let round = 0; round < 10; round++) {
      const list = Array.from({ length: 200 }, (_, i) => ({ type: 'a', tenant, id: `${round}-${i}`, data: i }));
      const calls = [list, [...list].reverse(), list, [...list].reverse()].map((one) => app.outbox.sendMany(one));
      const results = await Promise.all(calls);
      for (let i = 0; i < list.length; i++) {
        const same = results.map((sent, nth) => sent[nth % 2 === 0 ? i : list.length - 1 - i]);
        expect(new Set(same.map((one) => one?.outboxId)).size).toBe(1);
        expect(same.filter((one) => one?.duplicate === false)).toHaveLength(1);
      }
    }
    expect(await deliveriesOf(tenant)).toBe(2_000);
  });

  it('takes no list with holes, of which nobody would know what became', async () => {
    const tenant = await subscribe();
    const list = [{ type: 'a', tenant, data: 1 }];
    list.length = 2;
    await expect(app.outbox.sendMany(list)).rejects.toMatchObject({ code: 'EVENT_INVALID', index: 1 });
    expect(await idsOf(tenant)).toEqual([]);
  });

  it('takes 1 000 events and 16 MiB, and no more', async () => {
    const tenant = randomToken(10);
    const list = (length: number, data: unknown = 1) => Array.from({ length }, () => ({ type: 'a', tenant, data }));
    expect(await app.outbox.sendMany(list(1_000))).toHaveLength(1_000);
    await expect(app.outbox.sendMany(list(1_001))).rejects.toMatchObject({ code: 'EVENT_INVALID' });
    await expect(app.outbox.sendMany(list(90, 'x'.repeat(200_000)))).rejects.toMatchObject({
      code: 'PAYLOAD_TOO_LARGE',
      index: 83,
    });
    expect(await app.outbox.sendMany([])).toEqual([]);
  });

  it('tells PERSIST_UNKNOWN with all ids when the backend dies, and the repetition settles it', async () => {
    const tenant = await subscribe();
    const blocker = await world.admin.connect();
    await blocker.query('BEGIN');
    await blocker.query('LOCK TABLE baton.webhook_events IN ACCESS EXCLUSIVE MODE');
    const list = ['one', 'two'].map((id) => ({ type: 'a', tenant, id, data: 1 }));
    const sending = app.outbox.sendMany(list).catch((error: unknown) => error);
    await waitFor(
      async () => {
        const { rowCount } = await world.admin.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'WITH given AS%'`,
        );
        return rowCount === 1;
      },
      { description: 'the insert to wait for the lock' },
    );
    expect(await sending).toMatchObject({ code: 'PERSIST_UNKNOWN', eventId: 'one', eventIds: ['one', 'two'] });
    await blocker.query('ROLLBACK');
    blocker.release();
    expect(await app.outbox.sendMany(list)).toMatchObject([{ deliveries: 1 }, { deliveries: 1 }]);
  });
});

describe('an event costs', () => {
  it('one statement, also with many', async () => {
    const producer = await world.start({ role: 'producer', hints: 'off' });
    const tenant = randomToken(10);
    await world.endpoint(producer, tenant, { tenant });
    const event = { type: 'a', tenant, data: 1 };
    const many = [event, event, event];
    expect(await statements(producer, () => producer.outbox.send(event))).toEqual(['WITH']);
    expect(await statements(producer, () => producer.outbox.sendMany(many))).toEqual(['START', 'WITH', 'COMMIT']);
    expect(
      await statements(producer, () =>
        producer.dataSource.transaction((transaction) => producer.outbox.sendMany(many, { transaction })),
      ),
    ).toEqual(['START', 'WITH', 'COMMIT']);
  });
});

async function isWaiting(): Promise<void> {
  await waitFor(async () => (await world.admin.query(WAITING)).rowCount === 1, {
    description: 'the call to wait for the other transaction',
  });
}
