import type { Queryable } from '@nest-baton/core';
import { waitFor } from '@nest-baton/testing';
import { cleanupOldEvents, type CleanedUp, type RetentionOptions } from '@nest-baton/webhook-outbox';
import type pg from 'pg';
import { DeliveryStore } from '../../libs/webhook-outbox/src/delivering/delivery-store.js';
import type { Settlement } from '../../libs/webhook-outbox/src/outcomes/outcome.js';
import { ReadGate, StatementGate } from './support/gates.js';
import { type OutboxApp, OutboxWorld } from './support/outbox-world.js';

let world: OutboxWorld;
let app: OutboxApp;
let deliveries: OutboxApp['deliveries'];
let gate: ReadGate | undefined;

beforeEach(async () => {
  world = await OutboxWorld.create();
  app = await world.start({ role: 'producer' });
  deliveries = app.deliveries;
  await world.endpoint(app, 'x');
});
afterEach(async () => {
  await gate?.remove();
  gate = undefined;
  await world.stop();
});

/** One delivery, dead for long. */
async function oldDeadLetter(): Promise<string> {
  await app.outbox.send({ type: 'a', data: 1 });
  await world.admin.query(
    `UPDATE baton.webhook_deliveries SET state = 'dead', fence = 7, attempts = 1, settled_at = now() - interval '40 d'`,
  );
  await world.admin.query(`UPDATE baton.webhook_events SET created_at = now() - interval '40 d'`);
  return (await world.deliveries())[0]!.id;
}

/** A transaction that is open until it is told otherwise. */
async function within<T>(work: (client: pg.PoolClient, commit: () => Promise<void>) => Promise<T>): Promise<T> {
  const client = await world.admin.connect();
  try {
    await client.query('BEGIN');
    return await work(client, async () => void (await client.query('COMMIT')));
  } finally {
    client.release();
  }
}

/** Stops after it has read which deliveries are old, until the gate opens. */
async function beginCleanup(retention: RetentionOptions = {}): Promise<{ ended: Promise<CleanedUp> }> {
  gate = await ReadGate.close(world.admin, 'webhook_events');
  const { role } = gate;
  const ended = within(async (client, commit) => {
    await client.query(`SET LOCAL ROLE ${role}`);
    const done = await cleanupOldEvents(client, { retention });
    await commit();
    return done;
  });
  await waitFor(() => gate!.isReached(), { description: 'the cleanup in its middle' });
  return { ended };
}

const RETRY: Settlement = {
  state: 'ready',
  outcome: 'retry',
  reason: 'answered',
  status: 500,
  error: null,
  retryInMs: 1,
  pauseMs: 0,
  isGone: false,
};

/** An outcome whose lease has ended long ago. */
function late(id: string, settlement = RETRY) {
  return [{ id, fence: '3', attempt: 1, startedAt: '2026-01-01T00:00:00Z', durationMs: 1, settlement }];
}

const store = (on: Queryable | pg.ClientBase | pg.Pool, deletes = false) => new DeliveryStore(on, 'baton', deletes);

async function isWaiting(what: string): Promise<boolean> {
  const { rowCount } = await world.admin.query(
    `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database() AND query LIKE '%' || $1 || '%'`,
    [what],
  );
  return (rowCount ?? 0) > 0;
}

async function left(): Promise<string> {
  const { rows } = await world.admin.query<{ text: string }>(
    `SELECT format('%s events, %s deliveries, %s attempts', (SELECT count(*) FROM baton.webhook_events),
                   (SELECT count(*) FROM baton.webhook_deliveries), (SELECT count(*) FROM baton.webhook_attempts)) AS text`,
  );
  return rows[0]?.text ?? '';
}

describe('a cleanup and a replay', () => {
  it('that comes second: the replay waits, and finds nothing', async () => {
    const id = await oldDeadLetter();
    const outcome = await within(async (client, commit) => {
      expect(await cleanupOldEvents(client)).toMatchObject({ deliveries: 1, events: 1 });
      const replaying = deliveries.replay(id).catch((error: unknown) => error);
      await waitFor(() => isWaiting('KEY SHARE'), { description: 'the replay to wait' });
      await commit();
      return replaying;
    });
    expect(outcome).toMatchObject({ code: 'DELIVERY_NOT_FOUND' });
    expect(await left()).toBe('0 events, 0 deliveries, 0 attempts');
  });

  it('that comes first: the cleanup passes it over and does not wait', async () => {
    const id = await oldDeadLetter();
    const held = await StatementGate.close(world.admin, 'replay');
    const replaying = deliveries.replay(id);
    await waitFor(() => held.isReached(), { description: 'the replay to be held' });
    const done = await within(async (client, commit) => {
      const cleaned = await cleanupOldEvents(client);
      await commit();
      return cleaned;
    });
    expect(done).toMatchObject({ deliveries: 0, events: 0 });
    await held.open();
    expect(await replaying).toMatchObject({ state: 'ready' });
    expect(await left()).toBe('1 events, 1 deliveries, 0 attempts');
  });

  it('that comes in between: what was old when the cleanup looked, and is not any more, stays', async () => {
    const id = await oldDeadLetter();
    const { ended } = await beginCleanup();
    await deliveries.replay(id);
    await gate!.open();
    expect(await ended).toMatchObject({ deliveries: 0, events: 0 });
    expect(await world.deliveries()).toMatchObject([{ id, state: 'ready' }]);
  });
});

describe('a cleanup and an outcome that comes late', () => {
  it('to what is being removed: it waits, and leaves no trace', async () => {
    const id = await oldDeadLetter();
    await within(async (client, commit) => {
      await cleanupOldEvents(client);
      const settling = store(world.admin).settle(late(id));
      await waitFor(() => isWaiting('FOR UPDATE OF d'), { description: 'the outcome to wait' });
      await commit();
      expect(await settling).toEqual(new Set());
    });
    expect(await left()).toBe('0 events, 0 deliveries, 0 attempts');
  });

  it('to what the cleanup has looked at: both stay until the next', async () => {
    const id = await oldDeadLetter();
    const { ended } = await beginCleanup();
    expect(await store(world.admin).settle(late(id))).toEqual(new Set());
    await gate!.open();
    expect(await ended).toMatchObject({ deliveries: 0, events: 0 });
    expect(await left()).toBe('1 events, 1 deliveries, 1 attempts');
    expect(await world.deliveries()).toMatchObject([{ state: 'dead', fence: '7' }]);
    expect(await world.attempts()).toMatchObject([{ delivery_id: id, outcome: 'retry', is_late: true }]);
    await within(async (client, commit) => {
      await cleanupOldEvents(client);
      await commit();
    });
    expect(await left()).toBe('0 events, 0 deliveries, 0 attempts');
  });

  it('at the moment in which success deletes: what came between is kept with it, for the cleanup', async () => {
    await app.outbox.send({ type: 'a', data: 1 });
    await world.admin.query(
      `UPDATE baton.webhook_deliveries SET state = 'leased', fence = 7, attempts = 1, lease_until = now() + interval '1 h'`,
    );
    const { id } = (await world.deliveries())[0]!;
    const delivered: Settlement = { ...RETRY, state: 'delivered', outcome: 'delivered', status: 204 };
    const settling = within(async (client, commit) => {
      await store(client, true).settle(late(id));
      const deleting = store(world.admin, true).settle([{ ...late(id, delivered)[0]!, fence: '7', attempt: 2 }]);
      await waitFor(() => isWaiting('FOR UPDATE OF d'), { description: 'the deletion to wait' });
      await commit();
      return deleting;
    });
    expect(await settling).toEqual(new Set([id]));
    expect(await left()).toBe('1 events, 1 deliveries, 2 attempts');
    expect(await world.deliveries()).toMatchObject([{ state: 'delivered' }]);
    await within(async (client, commit) => {
      await cleanupOldEvents(client, { retention: { delivered: 0 } });
      await commit();
    });
    expect(await left()).toBe('0 events, 0 deliveries, 0 attempts');
  });
});
