import { waitFor } from '@nest-baton/testing';
import {
  claimDueEvents,
  type ClaimedEvent,
  completeEvent,
  enqueueEvent,
  failEvent,
  rescheduleEvent,
} from '@nest-baton/webhook-outbox';
import type pg from 'pg';
import { type OutboxApp, OutboxWorld } from './support/outbox-world.js';
import { handOffs, startWithQueue, TestQueue } from './support/queue-app.js';

let world: OutboxWorld;
let app: OutboxApp;
beforeEach(async () => {
  world = await OutboxWorld.create();
  // Sweeps nothing by itself.
  app = await startWithQueue(world, new TestQueue(), { role: 'producer', handOffGrace: '1h' });
  await world.endpoint(app, 'x', { types: ['a'] });
});
afterEach(() => world.stop());

const SOON = { handOffGrace: 0 };

/** In a transaction of a `pg` client, which knows nothing of the module. */
async function within<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await world.admin.connect();
  try {
    await client.query('BEGIN');
    const value = await work(client);
    await client.query('COMMIT');
    return value;
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  } finally {
    client.release();
  }
}

const enqueue = (id: string) => within((tx) => enqueueEvent(tx, { type: 'a', id, data: 1 }, SOON));

async function claimOne(lease: '1h' | '200ms' = '1h'): Promise<ClaimedEvent> {
  let claimed: readonly ClaimedEvent[] = [];
  await waitFor(async () => (claimed = await within((tx) => claimDueEvents(tx, { lease }))).length === 1, {
    description: 'an event to be claimed',
  });
  return claimed[0]!;
}

it('an event is enqueued, claimed, delivered by the module and completed, with the transaction of anybody', async () => {
  const sent = await enqueue('one');
  expect(sent).toMatchObject({ id: 'one', deliveries: 1, duplicate: false, state: 'persisted' });
  expect(await enqueue('one')).toEqual({ ...sent, duplicate: true });
  const claimed = await claimOne();
  expect(claimed).toMatchObject({ outboxId: sent.outboxId, id: 'one', type: 'a', tenant: '', sweeps: 1 });
  const worker = await startWithQueue(world, new TestQueue(), { handOffGrace: '1h' });
  await worker.outbox.deliver(claimed.outboxId);
  expect(await within((tx) => completeEvent(tx, claimed))).toBe(false);
  expect(await world.deliveries()).toMatchObject([{ state: 'delivered', attempts: 1 }]);
  expect(await handOffs(world)).toEqual([]);
});

it('what a transaction rolls back was neither enqueued nor claimed, and nobody waits for it', async () => {
  const undone = within(async (tx) => {
    await enqueueEvent(tx, { type: 'a', id: 'undone', data: 1 }, SOON);
    throw new Error('undone');
  });
  await expect(undone).rejects.toThrow('undone');
  expect(await handOffs(world)).toEqual([]);
  await enqueue('one');
  const [before] = await handOffs(world);
  const given = within(async (tx) => {
    expect(await claimDueEvents(tx)).toHaveLength(1);
    expect(await within((other) => claimDueEvents(other))).toEqual([]);
    throw new Error('given back');
  });
  await expect(given).rejects.toThrow('given back');
  expect(await handOffs(world)).toEqual([before]);
});

it('claimers at once have disjoint events, each once', async () => {
  for (let i = 0; i < 40; i++) await enqueue(`${i}`);
  const claims = await Promise.all([1, 2, 3].map(() => within((tx) => claimDueEvents(tx, { limit: 20 }))));
  const ids = claims.flat().map(({ id }) => id);
  expect(ids).toHaveLength(40);
  expect(new Set(ids).size).toBe(40);
});

it('a claim settles once, by its fence: reschedule, complete, fail', async () => {
  await enqueue('one');
  const stale = await claimOne('200ms');
  const claimed = await claimOne();
  expect(claimed.sweeps).toBe(2);
  for (const settle of [completeEvent, (tx: pg.PoolClient, one: ClaimedEvent) => failEvent(tx, one, 'late')])
    expect(await within((tx) => settle(tx, stale))).toBe(false);
  expect(await within((tx) => rescheduleEvent(tx, claimed, '50ms'))).toBe(true);
  expect(await within((tx) => rescheduleEvent(tx, claimed, '1h'))).toBe(false);
  const again = await claimOne();
  expect(await within((tx) => completeEvent(tx, again, SOON))).toBe(true);
  const last = await claimOne();
  expect(await within((tx) => failEvent(tx, last, new Error('nobody wants it')))).toBe(true);
  expect(await world.deliveries()).toMatchObject([{ state: 'dead', reason: 'given-up', attempts: 0 }]);
  expect(await handOffs(world)).toEqual([]);
});

it('refuses claims and delays that never were, and the transaction goes on', async () => {
  await enqueue('one');
  await within(async (tx) => {
    const [claimed] = (await claimDueEvents(tx)) as [ClaimedEvent];
    const refused = { code: 'OPTIONS_INVALID' };
    const forged = [
      undefined,
      {},
      { ...claimed, outboxId: "x'" },
      { ...claimed, fence: '1.5' },
      { ...claimed, fence: '9'.repeat(30) },
    ];
    for (const claim of forged as ClaimedEvent[]) {
      await expect(completeEvent(tx, claim)).rejects.toMatchObject(refused);
      await expect(failEvent(tx, claim, 'no')).rejects.toMatchObject(refused);
      await expect(rescheduleEvent(tx, claim, '1s')).rejects.toMatchObject(refused);
    }
    for (const delay of ['soon', -1, Infinity, '366d', 1e300])
      await expect(rescheduleEvent(tx, claimed, delay as '1s')).rejects.toMatchObject(refused);
    // Through a queue, as JSON.
    expect(await completeEvent(tx, JSON.parse(JSON.stringify(claimed)) as ClaimedEvent, SOON)).toBe(true);
  });
  expect(await handOffs(world)).toMatchObject([{ lease_until: null }]);
});

it('refuses a pool, options that mean nothing, and what cannot be sent, before anything is written', async () => {
  const event = { type: 'a', data: 1 };
  await expect(enqueueEvent(world.admin as never, event)).rejects.toMatchObject({ code: 'NOT_IN_TRANSACTION' });
  await expect(claimDueEvents(app.dataSource.manager)).rejects.toMatchObject({ code: 'NOT_IN_TRANSACTION' });
  await within(async (tx) => {
    await expect(claimDueEvents(tx, { limit: 0 })).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
    await expect(claimDueEvents(tx, { leese: 1 } as never)).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
    await expect(enqueueEvent(tx, { type: 'a b', data: 1 })).rejects.toMatchObject({ code: 'EVENT_INVALID' });
  });
  expect(await handOffs(world)).toEqual([]);
});
