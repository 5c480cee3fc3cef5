import { Logger } from '@nestjs/common';
import { startPostgres, waitFor } from '@nest-baton/testing';
import type { SentEvent, WebhookOutboxOptions } from '@nest-baton/webhook-outbox';
import { CollectedMetrics } from '../support/collected-metrics.js';
import { header, type OutboxApp, OutboxWorld } from './support/outbox-world.js';
import { QUEUE_OPTIONS, startWithQueue, TestQueue } from './support/queue-app.js';

const SEND_ONCE: WebhookOutboxOptions = { onPersistFailure: 'send-once' };
const EVENT = { type: 'thing.happened', data: { word: 'payload' } };
const METRICS = 'baton.webhook_outbox.';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

/** The database takes no event, until the returned function is called. */
async function refuseEvents(sqlState = '53100'): Promise<() => Promise<void>> {
  await world.admin.query(
    `CREATE OR REPLACE FUNCTION baton.refuse_events() RETURNS trigger LANGUAGE plpgsql AS
     $$ BEGIN RAISE EXCEPTION 'refused by the test' USING ERRCODE = '${sqlState}'; END $$`,
  );
  await world.admin.query(
    'CREATE TRIGGER refuse BEFORE INSERT ON baton.webhook_events FOR EACH ROW EXECUTE FUNCTION baton.refuse_events()',
  );
  return async () => void (await world.admin.query('DROP TRIGGER refuse ON baton.webhook_events'));
}

async function eventCount(): Promise<number> {
  return (await world.admin.query('SELECT FROM baton.webhook_events')).rowCount ?? -1;
}

/** An application that knows its endpoints: those that were created after its start are not in the first snapshot. */
async function startKnowing(options: WebhookOutboxOptions = {}): Promise<{ app: OutboxApp; secret: string }> {
  const first = await world.start({ role: 'producer' });
  const { secret } = await world.endpoint(first, 'x', { types: ['thing.*'] });
  await world.endpoint(first, 'other', { tenant: 'other' });
  await world.endpoint(first, 'type', { types: ['else'] });
  const app = await world.start({ role: 'producer', ...SEND_ONCE, ...options });
  return { app, secret };
}

describe('an event that the database cannot take', () => {
  it('is an error when nobody asked for anything else', async () => {
    const app = await world.start();
    await world.endpoint(app, 'x');
    await refuseEvents();
    await expect(app.outbox.send(EVENT)).rejects.toMatchObject({ driverError: { code: '53100' } });
    expect(world.requests('x')).toEqual([]);
  });

  it('is sent once, signed, to each endpoint that wanted it, while Postgres is stopped', async () => {
    const server = await startPostgres({ exclusive: true });
    const shared = world;
    world = await OutboxWorld.create(server.url);
    const points = CollectedMetrics.register();
    const errors: string[] = [];
    const log = Logger.prototype.error;
    Logger.prototype.error = (...args: unknown[]) => void errors.push(JSON.stringify(args));
    try {
      const { app, secret } = await startKnowing();
      const second = await world.endpoint(app, 'y');
      await world.endpoint(app, 'late');
      const [told, ended]: [unknown[], unknown[]] = [[], []];
      app.outbox.on('unconfirmed', (event) => told.push(event));
      app.outbox.on('unconfirmedEnded', (result) => ended.push(result));
      expect((await app.outbox.stats()).endpointSnapshot).toEqual({ endpoints: 3, ageMs: expect.any(Number) });
      await server.stop();
      const sent = await app.outbox.send(EVENT);
      expect(sent).toEqual({ id: sent.id, outboxId: null, deliveries: 1, duplicate: false, state: 'unconfirmed' });
      const [request] = await world.received('x', 1);
      expect(world.receiver.verify(request!, secret)).toBe(true);
      expect(JSON.parse(request!.body.toString())).toMatchObject({ type: EVENT.type, data: EVENT.data });
      expect(await app.outbox.sendMany([EVENT, { type: 'none', tenant: 'none', data: 1 }])).toMatchObject([
        { deliveries: 1, state: 'unconfirmed' },
        { deliveries: 0, state: 'unconfirmed' },
      ]);
      await waitFor(() => ended.length === 2, { description: 'both requests to end' });
      for (const path of ['other', 'type', 'y', 'late']) expect(world.requests(path)).toEqual([]);
      expect(second.id).not.toBe('');
      expect(told[0]).toMatchObject({ eventId: sent.id, endpoints: 1, snapshotAgeMs: expect.any(Number) });
      expect(ended[0]).toMatchObject({ eventId: sent.id, outcome: 'delivered', status: 204 });
      expect(await points.look()).toMatchObject({
        [`${METRICS}events.sent default unconfirmed`]: 3,
        [`${METRICS}unconfirmed.requests default delivered`]: 2,
        [`${METRICS}endpoints.snapshot_age default`]: expect.any(Number),
      });
      expect(errors.some((line) => line.includes('could not be stored'))).toBe(true);
      expect(errors.filter((line) => line.includes('payload'))).toEqual([]);
    } finally {
      Logger.prototype.error = log;
      await world.stop().catch(() => undefined);
      await points.unregister();
      await server.stop();
      world = shared;
    }
  });

  it('has the same webhook-id when it is sent again under its id, and is stored then', async () => {
    const { app } = await startKnowing();
    const repair = await refuseEvents();
    const event = { ...EVENT, id: 'one' };
    expect(await app.outbox.send(event)).toMatchObject({ id: 'one', state: 'unconfirmed' });
    const [first] = await world.received('x', 1);
    expect(await eventCount()).toBe(0);
    await repair();
    expect(await app.outbox.send(event)).toMatchObject({ id: 'one', state: 'persisted', deliveries: 1 });
    await world.start();
    const [, second] = await world.received('x', 2);
    expect(header(second!, 'webhook-id')).toBe(header(first!, 'webhook-id'));
    const other = await app.outbox.send({ ...event, id: 'two' });
    expect(other).toMatchObject({ state: 'persisted' });
  });

  it('is sent, and told as PERSIST_UNKNOWN, when it may be stored; with one webhook-id whatever came of it', async () => {
    const { app } = await startKnowing();
    const blocker = await world.admin.connect();
    await blocker.query('BEGIN');
    await blocker.query('LOCK TABLE baton.webhook_events IN ACCESS EXCLUSIVE MODE');
    const event = { ...EVENT, id: 'one' };
    const sending = app.outbox.send(event).catch((error: unknown) => error);
    await waitFor(
      async () => {
        const { rowCount } = await world.admin.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'WITH taken AS%'`,
        );
        return rowCount === 1;
      },
      { description: 'the insert to wait for the lock' },
    );
    expect(await sending).toMatchObject({ code: 'PERSIST_UNKNOWN', eventId: 'one' });
    await blocker.query('ROLLBACK');
    blocker.release();
    await world.received('x', 1);
    expect(await app.outbox.send(event)).toMatchObject({ state: 'persisted', duplicate: false });
    await world.start();
    const ids = (await world.received('x', 2)).map((request) => header(request, 'webhook-id'));
    expect(new Set(ids).size).toBe(1);
  });

  it('is an error all the same within a transaction, for its content, and where the call asks for it', async () => {
    const { app } = await startKnowing();
    const repair = await refuseEvents();
    const inTransaction = app.dataSource.transaction((transaction) => app.outbox.send(EVENT, { transaction }));
    await expect(inTransaction).rejects.toMatchObject({ driverError: { code: '53100' } });
    await expect(app.outbox.send(EVENT, { onPersistFailure: 'throw' })).rejects.toMatchObject({
      driverError: { code: '53100' },
    });
    await expect(app.outbox.send({ ...EVENT, type: 'no type' })).rejects.toMatchObject({ code: 'EVENT_INVALID' });
    await repair();
    const repairConstraint = await refuseEvents('23514');
    await expect(app.outbox.send(EVENT)).rejects.toMatchObject({ driverError: { code: '23514' } });
    await repairConstraint();
    await app.outbox.send({ ...EVENT, id: 'one' });
    await expect(app.outbox.send({ ...EVENT, id: 'one', data: 2 })).rejects.toMatchObject({ code: 'EVENT_CONFLICT' });
    expect(world.requests('x')).toEqual([]);
  });

  it('takes no more than there is room for, and the rest are errors; what runs at the end is waited for, then cut', async () => {
    world.receiver.answer(() => ({ instead: 'never' }));
    const { app } = await startKnowing({ shutdownTimeout: '300ms' });
    await refuseEvents();
    const ended: { outcome: string }[] = [];
    app.outbox.on('unconfirmedEnded', (result) => ended.push(result));
    const results: PromiseSettledResult<SentEvent>[] = [];
    for (let round = 0; round < 11; round++)
      results.push(
        ...(await Promise.allSettled(Array.from({ length: 100 }, (_, data) => app.outbox.send({ ...EVENT, data })))),
      );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1_000);
    await world.received('x', 64);
    expect(world.requests('x')).toHaveLength(64);
    await app.close();
    expect(ended).toHaveLength(1_000);
    expect(ended.every(({ outcome }) => outcome === 'cut')).toBe(true);
    expect(world.requests('x')).toHaveLength(64);
  });
});

describe('an event for a queue that the database cannot take', () => {
  it('is given to the queue itself, whose consumer stores it', async () => {
    const queue = new TestQueue();
    const app = await startWithQueue(world, queue, SEND_ONCE);
    await world.endpoint(app, 'x');
    const repair = await refuseEvents();
    const event = { ...EVENT, id: 'one' };
    expect(await app.outbox.send(event)).toEqual({
      id: 'one',
      outboxId: null,
      deliveries: null,
      duplicate: false,
      state: 'unconfirmed',
    });
    expect(queue.told).toEqual([{ id: 'one', type: EVENT.type, tenant: '', data: EVENT.data }]);
    const [{ outboxId, data, ...message }] = queue.told as [(typeof queue.told)[0]];
    expect(outboxId).toBeUndefined();
    const consume = () => app.outbox.send({ ...message, data }, { onPersistFailure: 'throw' });
    await expect(consume()).rejects.toMatchObject({ driverError: { code: '53100' } });
    await repair();
    expect(await consume()).toMatchObject({ id: 'one', state: 'persisted', deliveries: 1, duplicate: false });
    expect(await app.outbox.send(event)).toMatchObject({ duplicate: true });
    expect(world.requests('x')).toEqual([]);
  });

  it('is an error when the queue does not take it', async () => {
    const queue = new TestQueue(() => Promise.reject(new Error('refused by the queue')));
    const app = await startWithQueue(world, queue, { ...QUEUE_OPTIONS, ...SEND_ONCE });
    await world.endpoint(app, 'x');
    await refuseEvents();
    const failed: unknown[] = [];
    app.outbox.on('handOffFailed', ({ outboxId }) => failed.push(outboxId));
    await expect(app.outbox.send(EVENT)).rejects.toMatchObject({ driverError: { code: '53100' } });
    expect(failed).toEqual([null]);
  });
});
