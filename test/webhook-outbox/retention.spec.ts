import { randomUUID } from 'node:crypto';
import { waitFor } from '@nest-baton/testing';
import {
  cleanupOldEvents,
  type CleanedUp,
  type CleanupOptions,
  type WebhookOutboxOptions,
} from '@nest-baton/webhook-outbox';
import type pg from 'pg';
import { CollectedMetrics } from '../support/collected-metrics.js';
import { type OutboxApp, OutboxWorld } from './support/outbox-world.js';

let world: OutboxWorld;
let app: OutboxApp;
let status = 204;

beforeEach(async () => {
  status = 204;
  world = await OutboxWorld.create();
  world.receiver.answer(() => ({ status }));
});
afterEach(() => world.stop());

/** Cleans up only when the test says so. */
async function start(options: WebhookOutboxOptions = {}): Promise<void> {
  app = await world.start({ breakerFailures: 0, cleanupInterval: 0, schedule: [], ...options });
}

async function within<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await world.admin.connect();
  try {
    await client.query('BEGIN');
    const value = await work(client);
    await client.query('COMMIT');
    return value;
  } finally {
    client.release();
  }
}

const cleanUp = (options: CleanupOptions = {}): Promise<CleanedUp> => within((tx) => cleanupOldEvents(tx, options));

async function count(table: string): Promise<number> {
  return (await world.admin.query<{ n: number }>(`SELECT count(*)::int AS n FROM baton.${table}`)).rows[0]?.n ?? -1;
}

async function left(): Promise<Record<'events' | 'deliveries' | 'attempts', number>> {
  return {
    events: await count('webhook_events'),
    deliveries: await count('webhook_deliveries'),
    attempts: await count('webhook_attempts'),
  };
}

const NOTHING = { events: 0, deliveries: 0, attempts: 0 };

/** As if everything had happened so long ago. */
async function age(interval: string): Promise<void> {
  await world.admin.query(
    `UPDATE baton.webhook_deliveries SET settled_at = settled_at - $1::interval, created_at = created_at - $1::interval`,
    [interval],
  );
  await world.admin.query(`UPDATE baton.webhook_events SET created_at = created_at - $1::interval`, [interval]);
}

/** So many old rows in one state, written as they would stand there. */
async function insertOld(state: string, events: number, perEvent = 1): Promise<void> {
  await world.admin.query(
    `WITH e AS (INSERT INTO baton.webhook_events (id, tenant, dedupe_key, type, body, content_hash, created_at)
                SELECT gen_random_uuid(), '', gen_random_uuid()::text, 'a', '{}', '\\x00', now() - interval '100 d'
                  FROM generate_series(1, $1) RETURNING id),
          d AS (INSERT INTO baton.webhook_deliveries
                  (event_id, endpoint_id, state, next_at, fence, attempts, lease_losses, created_at, settled_at)
                SELECT e.id, gen_random_uuid(), $2, now(), 1, 1, 0, now() - interval '100 d', now() - interval '100 d'
                  FROM e, generate_series(1, $3) RETURNING id)
     INSERT INTO baton.webhook_attempts (delivery_id, attempt, started_at, outcome, is_late)
     SELECT id, 1, now(), 'delivered', false FROM d`,
    [events, state, perEvent],
  );
}

describe('retention', () => {
  it('keeps what was delivered for a day and then removes it with its event and its history (upstream: pruning)', async () => {
    await start();
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', id: 'one', data: 1 });
    await world.settled(1);
    await age('23 h');
    expect(await cleanUp()).toEqual({ expired: 0, deliveries: 0, events: 0, cursor: undefined, isMore: false });
    expect(await left()).toEqual({ events: 1, deliveries: 1, attempts: 1 });
    expect(await app.outbox.send({ type: 'a', id: 'one', data: 1 })).toMatchObject({ duplicate: true });
    await age('2 h');
    expect(await cleanUp()).toMatchObject({ deliveries: 1, events: 1, isMore: false });
    expect(await left()).toEqual(NOTHING);
    expect(await app.outbox.send({ type: 'a', id: 'one', data: 1 })).toMatchObject({ duplicate: false });
  });

  it('keeps what is dead or failed until it ages out, and removes it then (upstream: fresh exhausted rows, cleanup of exhausted rows)', async () => {
    status = 500;
    await start();
    await world.endpoint(app, 'x', { types: ['a'] });
    await app.outbox.send({ type: 'a', data: 1 });
    await world.settled(1);
    status = 400;
    await app.outbox.send({ type: 'a', data: 2 });
    expect((await world.settled(2)).map(({ state }) => state)).toEqual(['dead', 'failed']);
    await age('29 d');
    expect(await cleanUp()).toMatchObject({ deliveries: 0, events: 0 });
    await age('1 d');
    expect(await cleanUp()).toMatchObject({ deliveries: 2, events: 2 });
    expect(await left()).toEqual(NOTHING);
  });

  it('counts from when a delivery was over and not from when it was sent', async () => {
    await start({ role: 'producer' });
    await insertOld('delivered', 1);
    await world.admin.query(`UPDATE baton.webhook_deliveries SET settled_at = now() - interval '1 h'`);
    expect(await cleanUp()).toMatchObject({ deliveries: 0, events: 0 });
  });

  it('never touches what is open, however old', async () => {
    await start({ role: 'producer' });
    for (const state of ['ready', 'leased']) await insertOld(state, 2);
    await world.admin.query(`UPDATE baton.webhook_deliveries SET settled_at = NULL`);
    expect(await cleanUp({ retention: { delivered: 0, failed: 0, dead: 0 } })).toMatchObject({
      deliveries: 0,
      events: 0,
    });
    expect(await left()).toMatchObject({ events: 4, deliveries: 4 });
  });

  it('makes expired of what was parked too long, which can still be replayed, and removes it later', async () => {
    await start();
    const deliveries = app.deliveries;
    const { id: endpointId } = await world.endpoint(app, 'x');
    await world.admin.query(`UPDATE baton.webhook_endpoints SET state = 'disabled'`);
    for (const data of [1, 2]) await app.outbox.send({ type: 'a', data });
    await age('30 d');
    expect(await cleanUp()).toMatchObject({ expired: 2, deliveries: 0, events: 0 });
    expect((await app.outbox.stats()).byState).toMatchObject({ parked: 0, expired: 2 });
    const { deliveries: found } = await deliveries.list({ endpointId, state: 'expired' });
    expect(found).toMatchObject([{ reason: 'endpoint-disabled' }, { reason: 'endpoint-disabled' }]);
    await world.admin.query(`UPDATE baton.webhook_endpoints SET state = 'active'`);
    await deliveries.replay(found[0]!.id);
    await world.received('x', 1);
    await waitFor(async () => (await deliveries.get(found[0]!.id)).state === 'delivered', { description: 'delivery' });
    await world.admin.query(
      `UPDATE baton.webhook_deliveries SET settled_at = settled_at - interval '30 d' WHERE state = 'expired'`,
    );
    expect(await cleanUp()).toMatchObject({ deliveries: 1, events: 1 });
    expect(await left()).toEqual({ events: 1, deliveries: 1, attempts: 1 });
  });

  it('keeps the event while one of its deliveries is kept', async () => {
    await start({ role: 'producer' });
    await insertOld('delivered', 1, 3);
    await world.admin.query(
      `UPDATE baton.webhook_deliveries SET state = 'dead', settled_at = now() WHERE id = (SELECT min(id) FROM baton.webhook_deliveries)`,
    );
    expect(await cleanUp()).toMatchObject({ deliveries: 2, events: 0 });
    expect(await left()).toEqual({ events: 1, deliveries: 1, attempts: 1 });
  });

  it('keeps the id of an event taken after its deliveries are gone, for its dedupe window', async () => {
    status = 400;
    await start();
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', id: 'one', data: 1 });
    await world.settled(1);
    await age('1 h');
    const retention = { failed: '30m' } as const;
    expect(await cleanUp({ retention })).toMatchObject({ deliveries: 1, events: 0 });
    expect(await app.outbox.send({ type: 'a', id: 'one', data: 1 })).toMatchObject({ duplicate: true });
    await age('1 d');
    expect(await cleanUp({ retention })).toMatchObject({ deliveries: 0, events: 1, isMore: false });
    expect(await left()).toEqual(NOTHING);
  });

  it('takes hand-offs along, and deliveries whose event is gone', async () => {
    await start({ role: 'producer' });
    await insertOld('dead', 2);
    await world.admin.query(
      `INSERT INTO baton.webhook_hand_offs (event_id, kind, next_at, fence, count) SELECT id, 'sweep', now(), 0, 0 FROM baton.webhook_events`,
    );
    await world.admin.query(
      `DELETE FROM baton.webhook_events WHERE id = (SELECT min(id::text)::uuid FROM baton.webhook_events)`,
    );
    expect(await cleanUp()).toMatchObject({ deliveries: 2, events: 1 });
    expect(await left()).toEqual(NOTHING);
    expect(await count('webhook_hand_offs')).toBe(1);
  });
});

describe('a cleanup', () => {
  it('goes in batches, by a cursor over events without deliveries', async () => {
    await start({ role: 'producer' });
    await insertOld('delivered', 25);
    await insertOld('dead', 5);
    await world.admin.query(`DELETE FROM baton.webhook_deliveries WHERE state = 'dead'`);
    let cursor: string | undefined;
    let calls = 0;
    for (let isMore = true; isMore; calls++) {
      const done: CleanedUp = await cleanUp({ limit: 10, ...(cursor === undefined ? {} : { cursor }) });
      expect(done.deliveries).toBeLessThanOrEqual(10);
      ({ cursor, isMore } = done);
    }
    expect(calls).toBeGreaterThanOrEqual(3);
    expect(await left()).toMatchObject({ events: 0, deliveries: 0 });
  });

  it('is made by several at once, and what they removed is counted once', async () => {
    await start({ role: 'producer' });
    await insertOld('delivered', 300, 2);
    const all = async (): Promise<number> => {
      let removed = 0;
      for (let tries = 0; (await count('webhook_events')) > 0 && tries < 200; tries++)
        removed += (await cleanUp({ limit: 20 })).deliveries;
      return removed;
    };
    const [a, b] = await Promise.all([all(), all()]);
    expect(a + b).toBe(600);
    expect(await left()).toEqual(NOTHING);
  });

  it('passes over an event that somebody has locked, and does not wait', async () => {
    await start({ role: 'producer' });
    await insertOld('delivered', 2);
    const holder = await world.admin.connect();
    try {
      await holder.query('BEGIN');
      await holder.query(`SELECT FROM baton.webhook_events ORDER BY id LIMIT 1 FOR KEY SHARE`);
      expect(await cleanUp()).toMatchObject({ deliveries: 1, events: 1, isMore: false });
      await holder.query('COMMIT');
    } finally {
      holder.release();
    }
    expect(await cleanUp()).toMatchObject({ deliveries: 1, events: 1 });
  });

  it('refuses what is no transaction, and options that mean nothing', async () => {
    await start({ role: 'producer' });
    await expect(cleanupOldEvents(world.admin as never)).rejects.toMatchObject({ code: 'NOT_IN_TRANSACTION' });
    for (const options of [{ limit: 0 }, { retention: { dead: 'soon' } }, { cursor: 'x' }, { retenton: {} }])
      await expect(cleanUp(options as never)).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
  });
});

describe('the cleanup of the module', () => {
  it('runs by itself in each process that sends, counts, and goes on after a failure', async () => {
    const points = CollectedMetrics.register();
    try {
      await start({ role: 'producer', cleanupInterval: '20ms' });
      await insertOld('delivered', 1_200);
      await insertOld('parked', 3);
      await world.admin.query('ALTER TABLE baton.webhook_attempts RENAME TO hidden');
      const failures: unknown[] = [];
      const apps = [];
      for (let nth = 0; nth < 2; nth++) {
        const worker = await world.start({ cleanupInterval: '100ms', retention: { expired: '1h' } });
        worker.outbox.on('cleanupFailed', ({ error }) => failures.push(error));
        apps.push(worker);
      }
      await waitFor(() => failures.length >= 2, { description: 'failures' });
      expect(await count('webhook_events')).toBe(1_203);
      await world.admin.query('ALTER TABLE baton.hidden RENAME TO webhook_attempts');
      await waitFor(async () => (await count('webhook_events')) === 3, { description: 'the cleanup' });
      expect((await apps[0]!.outbox.stats()).byState).toMatchObject({ delivered: 0, parked: 0, expired: 3 });
      expect(await points.look()).toMatchObject({
        'baton.webhook_outbox.deliveries.removed default delivered': 1_200,
        'baton.webhook_outbox.events.removed default': 1_200,
        'baton.webhook_outbox.deliveries.expired default': 3,
      });
    } finally {
      await points.unregister();
    }
  });
});

describe('with retention.delivered 0', () => {
  const delivered = 0;

  it('success deletes the row, its history and its event (upstream: success)', async () => {
    await start({ retention: { delivered } });
    await world.endpoint(app, 'x');
    const reports: string[] = [];
    app.outbox.on('delivered', ({ id }) => reports.push(id));
    await app.outbox.send({ type: 'a', data: 1 });
    await world.received('x', 1);
    await waitFor(async () => (await count('webhook_events')) === 0, { description: 'no event' });
    expect(await left()).toEqual(NOTHING);
    await waitFor(() => reports.length === 1, { description: 'the report' });
    expect(world.requests('x')).toHaveLength(1);
  });

  it('keeps the event for its other deliveries, and removes what the last one leaves', async () => {
    world.receiver.answer(({ path }) => ({ status: path === '/bad' ? 400 : 204 }));
    await start({ retention: { delivered, failed: '1h' } });
    for (const path of ['good', 'bad', 'fine']) await world.endpoint(app, path);
    await app.outbox.send({ type: 'a', data: 1 });
    await waitFor(async () => (await count('webhook_deliveries')) === 1, { description: 'only the failed one' });
    await world.settled(1);
    expect(await world.deliveries()).toMatchObject([{ state: 'failed' }]);
    expect(await left()).toEqual({ events: 1, deliveries: 1, attempts: 1 });
    await age('1 h');
    await cleanUp({ retention: { delivered, failed: '1h' } });
    expect(await left()).toEqual(NOTHING);
  });

  it('leaves nothing of many events for several endpoints, settled by two processes', async () => {
    const options = { retention: { delivered }, maxInFlight: 3, batchSize: 5, cleanupInterval: '100ms' } as const;
    await start(options);
    await world.start({ ...options, breakerFailures: 0 });
    for (const path of ['a', 'b', 'c']) await world.endpoint(app, path);
    const events = Array.from({ length: 60 }, () => ({ type: 'a', id: randomUUID(), data: 1 }));
    await app.outbox.sendMany(events);
    await waitFor(async () => (await count('webhook_events')) === 0, { description: 'no event', timeoutMs: 15_000 });
    expect(await left()).toEqual(NOTHING);
    for (const path of ['a', 'b', 'c']) expect(world.requests(path)).toHaveLength(60);
  });
});
