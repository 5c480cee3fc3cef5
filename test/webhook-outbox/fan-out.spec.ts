import { jest } from '@jest/globals';
import { randomToken } from '@nest-baton/core';
import { type ChildWorker, startProcess, waitFor } from '@nest-baton/testing';
import { cleanupOldEvents } from '@nest-baton/webhook-outbox';
import { made, subscribeDisabled, subscribeMany } from './support/crowd.js';
import { FAN_OUT_STEPS, StatementGate } from './support/gates.js';
import { header, type OutboxApp, OutboxWorld, TEST_OPTIONS } from './support/outbox-world.js';
import { handOffs, startWithQueue, TestQueue } from './support/queue-app.js';

// Hundreds of endpoints and processes of their own, on a machine that has other things to do.
jest.setTimeout(120_000);

let world: OutboxWorld;
let producer: OutboxApp;
let tenant: string;
beforeEach(async () => {
  world = await OutboxWorld.create();
  producer = await world.start({ role: 'producer' });
  tenant = randomToken(10);
});
afterEach(() => world.stop());

async function allMade(outboxId: string | null, endpoints: number, timeoutMs = 60_000): Promise<void> {
  await waitFor(async () => (await made(world, outboxId)).rows >= endpoints && (await handOffs(world)).length === 0, {
    timeoutMs,
    description: `${endpoints} deliveries to be made`,
  });
  expect(await made(world, outboxId)).toEqual({ rows: endpoints, endpoints });
}

describe('an event that more than 200 endpoints want', () => {
  it('is stored with its deliveries up to 200, and above without, for a relay to make them', async () => {
    await subscribeDisabled(world, tenant, 200);
    const event = { type: 'a', tenant, data: 1 };
    expect(await producer.outbox.send(event)).toMatchObject({ deliveries: 200 });
    expect(await handOffs(world)).toEqual([]);
    await subscribeDisabled(world, tenant, 1);
    const sent = await producer.outbox.send(event);
    expect(sent).toMatchObject({ state: 'persisted', deliveries: null, duplicate: false });
    expect(await made(world, sent.outboxId)).toEqual({ rows: 0, endpoints: 0 });
    expect(await handOffs(world)).toMatchObject([{ event_id: sent.outboxId, kind: 'fan-out', lease_until: null }]);
    expect(await producer.outbox.stats()).toMatchObject({ pendingFanOuts: 1 });
    expect(await producer.outbox.health()).toMatchObject({ state: 'up', lagMs: expect.any(Number) });
    const relay = await world.start();
    await allMade(sent.outboxId, 201);
    expect(await relay.outbox.stats()).toMatchObject({ pendingFanOuts: 0, byState: { parked: 401 } });
  });

  it('reaches each of them once, with an id of its own', async () => {
    await subscribeMany(world, producer, tenant, 205);
    const relay = await world.start({ role: 'worker' });
    const told: unknown[] = [];
    relay.outbox.on('fannedOut', (event) => told.push(event));
    const { outboxId, id } = await producer.outbox.send({ type: 'a', tenant, data: 1 });
    await world.settled(205, 30_000);
    const requests = world.requests(tenant);
    expect(requests).toHaveLength(205);
    expect(new Set(requests.map((request) => header(request, 'webhook-id'))).size).toBe(205);
    expect(told).toEqual([{ outboxId, eventId: id, type: 'a', tenant, deliveries: 205 }]);
  });

  it('goes to the endpoints as they are when its deliveries are made', async () => {
    await subscribeDisabled(world, tenant, 300);
    const [deleted, disabled] = [
      await world.endpoint(producer, tenant, { tenant }),
      await world.endpoint(producer, tenant, { tenant }),
    ];
    const { outboxId } = await producer.outbox.send({ type: 'a', tenant, data: 1 });
    await producer.endpoints.delete(deleted.id);
    await producer.endpoints.disable(disabled.id);
    const created = await world.endpoint(producer, `${tenant}/new`, { tenant });
    await world.endpoint(producer, tenant, { tenant, types: ['b.*'] });
    await world.start();
    await allMade(outboxId, 302);
    await world.received(`${tenant}/new`, 1);
    const { rows } = await world.admin.query<{ endpoint_id: string; state: string }>(
      'SELECT endpoint_id, state FROM baton.webhook_deliveries WHERE endpoint_id = ANY ($1)',
      [[deleted.id, disabled.id, created.id]],
    );
    expect(rows.find((row) => row.endpoint_id === disabled.id)?.state).toBe('parked');
    expect(rows.some((row) => row.endpoint_id === deleted.id)).toBe(false);
    expect(world.requests(tenant)).toEqual([]);
  });

  it('is recognised by its id before and after, and other content is refused', async () => {
    await subscribeDisabled(world, tenant, 250);
    const event = { type: 'a', tenant, id: 'one', data: 1 };
    const first = await producer.outbox.send(event);
    expect(await producer.outbox.send(event)).toEqual({ ...first, deliveries: null, duplicate: true });
    await expect(producer.outbox.send({ ...event, data: 2 })).rejects.toMatchObject({ code: 'EVENT_CONFLICT' });
    await world.start();
    await allMade(first.outboxId, 250);
    expect(await producer.outbox.send(event)).toEqual({ ...first, deliveries: 250, duplicate: true });
    expect(await handOffs(world)).toEqual([]);
  });

  it('may be one of many of a call, and leaves nothing of a transaction that was rolled back', async () => {
    const narrow = `${tenant}-narrow`;
    await subscribeDisabled(world, tenant, 201);
    await subscribeDisabled(world, narrow, 2);
    const events = [
      { type: 'a', tenant, data: 1 },
      { type: 'a', tenant: narrow, data: 1 },
      { type: 'b', tenant, data: 1 },
      { type: 'a', tenant: 'nobody', data: 1 },
    ];
    const rolledBack = producer.dataSource.transaction(async (transaction) => {
      await producer.outbox.sendMany(events, { transaction });
      throw new Error('rolled back by the test');
    });
    await expect(rolledBack).rejects.toThrow('rolled back by the test');
    expect(await handOffs(world)).toEqual([]);
    const sent = await producer.outbox.sendMany(events);
    expect(sent.map(({ deliveries }) => deliveries)).toEqual([null, 2, null, 0]);
    expect((await handOffs(world)).map(({ kind }) => kind)).toEqual(['fan-out', 'fan-out']);
    await world.start();
    for (const nth of [0, 2])
      await waitFor(async () => (await made(world, sent[nth]!.outboxId)).rows === 201, {
        description: 'the deliveries to be made',
      });
  });

  it('is kept by every cleanup while its deliveries are being made', async () => {
    await subscribeDisabled(world, tenant, 201);
    const { outboxId } = await producer.outbox.send({ type: 'a', tenant, data: 1 });
    await world.admin.query(`UPDATE baton.webhook_events SET created_at = now() - interval '90 days'`);
    const cleanUp = () =>
      producer.dataSource.transaction((transaction) => cleanupOldEvents(transaction, { retention: { parked: '1d' } }));
    expect(await cleanUp()).toMatchObject({ deliveries: 0, events: 0 });
    await world.admin.query(
      `INSERT INTO baton.webhook_deliveries (event_id, endpoint_id, state, next_at, fence, attempts, lease_losses, created_at, settled_at)
       SELECT $1, (SELECT id FROM baton.webhook_endpoints ORDER BY id LIMIT 1), 'delivered', now(), 0, 1, 0, now(), now() - interval '80 days'`,
      [outboxId],
    );
    expect(await cleanUp()).toMatchObject({ deliveries: 1, events: 0 });
    await world.start();
    await allMade(outboxId, 201);
  });
});

describe('deliveries of thousands of endpoints', () => {
  const ENDPOINTS = 2_300;

  it('may be sent, and deleted with their success, while others are made: the event stays, and none is made again', async () => {
    await subscribeMany(world, producer, tenant, 5);
    await subscribeDisabled(world, tenant, ENDPOINTS);
    const gate = await StatementGate.closeFanOut(world.admin, 'later step');
    const relay = await world.start({ retention: { delivered: 0 } });
    const { outboxId } = await relay.outbox.send({ type: 'a', tenant, data: 1 });
    await world.received(tenant, 5);
    await waitFor(async () => (await made(world, outboxId)).rows === 995, {
      description: 'what was sent to be deleted',
    });
    await gate.open();
    await allMade(outboxId, ENDPOINTS);
    expect(world.requests(tenant)).toHaveLength(5);
  });

  async function startRelay(): Promise<ChildWorker> {
    const child = await startProcess({
      entry: 'test/webhook-outbox/support/relay-program.ts',
      args: [world.url, JSON.stringify({ ...TEST_OPTIONS, lease: '1500ms', requestTimeout: '1s' })],
    });
    await child.waitForLine(/^ready$/);
    return child;
  }

  it.each(Object.keys(FAN_OUT_STEPS) as (keyof typeof FAN_OUT_STEPS)[])(
    'are made once each when their relay is killed in the %s',
    async (step) => {
      await subscribeDisabled(world, tenant, ENDPOINTS);
      const gate = await StatementGate.closeFanOut(world.admin, step);
      const { outboxId } = await producer.outbox.send({ type: 'a', tenant, data: 1 });
      const child = await startRelay();
      await waitFor(() => gate.isReached(), { description: `the ${step} to be held` });
      child.signal('SIGKILL');
      await child.exited;
      await gate.endHeldStatements();
      await gate.open();
      const before = { claim: 0, 'first step': 0, 'later step': 1_000, 'last step': 2_000 }[step];
      expect((await made(world, outboxId)).rows).toBe(before);
      await world.start({ lease: '1500ms', requestTimeout: '1s' });
      await allMade(outboxId, ENDPOINTS);
    },
  );

  it('are made once each by relays that all want to, also while one is stopped in between', async () => {
    await subscribeDisabled(world, tenant, ENDPOINTS);
    const relays = await Promise.all(
      Array.from({ length: 3 }, () => world.start({ lease: '600ms', requestTimeout: '100ms' })),
    );
    const sent = await producer.outbox.sendMany(Array.from({ length: 5 }, (_, data) => ({ type: 'a', tenant, data })));
    await waitFor(async () => (await made(world, sent[0]!.outboxId)).rows > 0, { description: 'the first step' });
    await relays[0]!.close();
    for (const { outboxId } of sent) {
      await waitFor(async () => (await made(world, outboxId)).rows === ENDPOINTS, {
        timeoutMs: 60_000,
        description: 'all deliveries to be made',
      });
      expect(await made(world, outboxId)).toEqual({ rows: ENDPOINTS, endpoints: ENDPOINTS });
    }
    await waitFor(async () => (await handOffs(world)).length === 0, { description: 'no hand-off to be left' });
  });
});

describe('an event for many endpoints that goes to a queue', () => {
  it('is told to the queue when the last delivery is made, and deliver says so before', async () => {
    await subscribeMany(world, producer, tenant, 201);
    const queue = new TestQueue();
    const gate = await StatementGate.closeFanOut(world.admin, 'claim');
    const app = await startWithQueue(world, queue, { handOffGrace: '60s' });
    const { outboxId } = await app.outbox.send({ type: 'a', tenant, data: 1 });
    await waitFor(() => gate.isReached(), { description: 'the claim to be held' });
    expect(await app.outbox.deliver(outboxId!)).toEqual({
      outboxId,
      isGone: false,
      isFanOutPending: true,
      deliveries: [],
    });
    expect(queue.told).toEqual([]);
    await gate.open();
    await waitFor(() => queue.told.length > 0, { description: 'the queue to be told' });
    expect(queue.told).toEqual([expect.objectContaining({ outboxId, type: 'a', tenant })]);
    expect(await handOffs(world)).toMatchObject([{ event_id: outboxId, kind: 'sweep', lease_until: null }]);
    const { deliveries, isFanOutPending } = await app.outbox.deliver(outboxId!);
    expect(isFanOutPending).toBe(false);
    expect(deliveries).toHaveLength(201);
    await world.settled(201, 30_000);
    expect(world.requests(tenant)).toHaveLength(201);
  });

  it('is handed over by the sweep when its message was lost, and never before its deliveries are made', async () => {
    await subscribeMany(world, producer, tenant, 201);
    const lost = new TestQueue(() => Promise.reject(new Error('lost by the test')));
    const app = await startWithQueue(world, lost, { hints: 'off' });
    const { outboxId } = await app.outbox.send({ type: 'a', tenant, data: 1 });
    await waitFor(() => lost.told.length > 1, { description: 'the queue to be told again' });
    expect(lost.told.every((message) => message.outboxId === outboxId)).toBe(true);
    expect(await made(world, outboxId)).toEqual({ rows: 201, endpoints: 201 });
  });
});
