import { startProcess, waitFor } from '@nest-baton/testing';
import { ClaimStore } from '../../libs/webhook-outbox/src/claiming/claim-store.js';
import { DeliveryStore } from '../../libs/webhook-outbox/src/delivering/delivery-store.js';
import { ReclaimStore } from '../../libs/webhook-outbox/src/reclaiming/reclaim-store.js';
import { refuse } from './support/gates.js';
import { type OutboxApp, OutboxWorld, TEST_OPTIONS } from './support/outbox-world.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

async function sendMany(app: OutboxApp, count: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, nth) => app.outbox.send({ type: 'a', data: nth })));
}

describe('the history of attempts', () => {
  it('has a row for each request, with what it came to and how long it took', async () => {
    world.receiver.answer([{ status: 503, body: 'bro\u0000ken', delayMs: 100 }, { instead: 'reset' }]);
    const app = await world.start();
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    const [row] = await world.settled(1);
    const attempts = await world.attempts();
    expect(attempts).toMatchObject([
      { delivery_id: row?.id, attempt: 1, outcome: 'retry', reason: 'answered', status: 503, error: 'bro ken' },
      { attempt: 2, outcome: 'retry', reason: 'network', status: null },
      { attempt: 3, outcome: 'delivered', reason: 'answered', status: 204, error: null, is_late: false },
    ]);
    expect(attempts[0]?.duration_ms).toBeGreaterThanOrEqual(95);
    const starts = attempts.map(({ started_at }) => Number(started_at));
    expect(starts).toEqual([...starts].sort((a, b) => a - b));
    expect(Number(row?.started_at)).toBe(starts[2]);
  });

  it('tells of a request whose process was killed, when it began and that nobody knows its end', async () => {
    world.receiver.answer([{ instead: 'never' }]);
    const short = { lease: '1500ms', requestTimeout: '1s' } as const;
    const producer = await world.start({ role: 'producer' });
    await world.endpoint(producer, 'x');
    const child = await startProcess({
      entry: 'test/webhook-outbox/support/relay-program.ts',
      args: [world.url, JSON.stringify({ ...TEST_OPTIONS, ...short })],
    });
    await child.waitForLine(/^ready$/);
    await producer.outbox.send({ type: 'a', data: 1 });
    await world.received('x', 1);
    const [claimed] = await world.deliveries();
    child.signal('SIGKILL');
    await child.exited;
    await world.start(short);
    await world.settled(1);
    expect(await world.attempts()).toMatchObject([
      { attempt: 1, outcome: 'unknown', reason: 'lease-lost', duration_ms: null, started_at: claimed?.started_at },
      { attempt: 2, outcome: 'delivered', is_late: false },
    ]);
  });

  it('tells of a claim that nobody lived to end, as nobody knows whether it was sent', async () => {
    const producer = await world.start({ role: 'producer' });
    await world.endpoint(producer, 'x');
    await producer.outbox.send({ type: 'a', data: 1 });
    const store = new ClaimStore(world.admin, '"baton"');
    const claims = await store.claim({ limit: 1, leaseMs: 1, maxInFlight: 1, held: new Map() });
    expect(claims).toMatchObject([{ attempts: 0, body: expect.stringContaining('"data":1') as string }]);
    await waitFor(async () => (await reclaims().reclaim(3, false)).deliveries.length === 1, {
      description: 'the reclaim',
    });
    expect(await world.deliveries()).toMatchObject([{ state: 'ready', lease_losses: 1, attempts: 1 }]);
    expect(await world.attempts()).toMatchObject([{ attempt: 1, outcome: 'unknown', reason: 'lease-lost' }]);
  });

  it('tells nothing of a claim that was handed back unsent', async () => {
    const producer = await world.start({ role: 'producer' });
    await world.endpoint(producer, 'x');
    await producer.outbox.send({ type: 'a', data: 1 });
    const store = new ClaimStore(world.admin, '"baton"');
    const claims = await store.claim({ limit: 1, leaseMs: 60_000, maxInFlight: 1, held: new Map() });
    expect(await world.deliveries()).toMatchObject([{ state: 'leased', attempts: 1, last_outcome: 'unknown' }]);
    expect(await new DeliveryStore(world.admin, '"baton"').release(claims)).toBe(1);
    expect(await world.deliveries()).toMatchObject([
      { state: 'ready', lease_losses: 0, attempts: 0, last_outcome: null, started_at: null },
    ]);
    expect(await world.attempts()).toEqual([]);
  });

  it('tells of a request that the shutdown cut', async () => {
    world.receiver.answer({ instead: 'never' });
    const app = await world.start({ shutdownTimeout: '100ms' });
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    await world.received('x', 1);
    await app.close();
    expect(await world.attempts()).toMatchObject([{ attempt: 1, outcome: 'unknown', reason: 'cut', is_late: false }]);
  });
});

describe('an outcome without its lease', () => {
  it('is in the history as late, and moves nothing of whoever holds the delivery now', async () => {
    world.receiver.answer([{ delayMs: 400, status: 500 }]);
    const app = await world.start();
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    await world.received('x', 1);
    const [held] = await world.admin
      .query(`UPDATE baton.webhook_deliveries SET fence = fence + 1, lease_until = now() + interval '1 h' RETURNING *`)
      .then(({ rows }) => rows as unknown[]);
    await waitFor(async () => (await world.attempts()).length === 1, { description: 'the late outcome' });
    expect(await world.attempts()).toMatchObject([{ attempt: 1, outcome: 'retry', status: 500, is_late: true }]);
    expect(await world.deliveries()).toMatchObject([held]);
    expect((await app.outbox.stats()).relay).toMatchObject({ leasesLost: 1, unsettled: 0 });
  });

  it('delivers all the same when it is a 2xx and nobody holds the delivery', async () => {
    world.receiver.answer([{ delayMs: 400 }]);
    const app = await world.start();
    const told: string[] = [];
    app.outbox.on('delivered', ({ id }) => told.push(id));
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    await world.received('x', 1);
    await world.admin.query(
      `UPDATE baton.webhook_deliveries SET state = 'ready', fence = fence + 1, lease_until = NULL, next_at = now() + interval '1 h'`,
    );
    const [row] = await world.settled(1);
    expect(row).toMatchObject({ state: 'delivered', attempts: 1, last_status: 204 });
    expect(await world.attempts()).toMatchObject([{ attempt: 1, outcome: 'delivered', is_late: true }]);
    expect(told).toEqual([row?.id]);
    expect(world.requests('x')).toHaveLength(1);
  });

  it.each([
    ['a terminal row', `state = 'dead', settled_at = now(), lease_until = NULL`],
    ['a row that another holds', `fence = fence + 1, lease_until = now() + interval '1 h'`],
  ])('leaves %s alone although it is a 2xx', async (_what, set) => {
    world.receiver.answer([{ delayMs: 300 }]);
    const app = await world.start();
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    await world.received('x', 1);
    const { rows } = await world.admin.query<object>(`UPDATE baton.webhook_deliveries SET ${set} RETURNING *`);
    await waitFor(async () => (await world.attempts()).length === 1, { description: 'the late outcome' });
    expect(await world.attempts()).toMatchObject([{ outcome: 'delivered', is_late: true }]);
    expect(await world.deliveries()).toMatchObject(rows);
  });
});

describe('writing outcomes', () => {
  it('writes nothing twice and answers the same when it is repeated after its answer was lost', async () => {
    const producer = await world.start({ role: 'producer' });
    await world.endpoint(producer, 'x');
    await sendMany(producer, 3);
    const store = new DeliveryStore(world.admin, '"baton"');
    const claimStore = new ClaimStore(world.admin, '"baton"');
    const claims = await claimStore.claim({
      limit: 3,
      leaseMs: 60_000,
      maxInFlight: 3,
      held: new Map(),
    });
    const none = { status: null, error: null, retryInMs: 3_600_000, pauseMs: 0, isGone: false };
    const settlements = [
      { state: 'delivered', outcome: 'delivered', reason: 'answered', ...none },
      { state: 'ready', outcome: 'retry', reason: 'timeout', ...none },
      { state: 'failed', outcome: 'failed', reason: 'redirected', ...none },
    ] as const;
    const ended = settlements.map((settlement, nth) => {
      const { id, fence, startedAt } = claims[nth]!;
      return { id, fence, attempt: 1, startedAt, durationMs: 5, settlement };
    });
    const moved = await store.settle(ended);
    expect([...moved].sort()).toEqual(claims.map(({ id }) => id).sort());
    const [rows, attempts] = [await world.deliveries(), await world.attempts()];
    expect(attempts).toHaveLength(3);
    expect(await store.settle(ended)).toEqual(moved);
    expect(await world.deliveries()).toEqual(rows);
    expect(await world.attempts()).toEqual(attempts);
  });

  it('is not kept up by one that the database refuses for its text: that is written without', async () => {
    world.receiver.answer(({ body }) => ({ status: 400, body: body.includes('"data":7}') ? 'poison' : 'fine' }));
    const app = await world.start();
    await world.endpoint(app, 'x');
    await refuse(world.admin, 'settle', { sqlState: '22021', when: `NEW.last_error = 'poison'` });
    await sendMany(app, 20);
    const rows = await world.settled(20);
    expect(rows.filter(({ last_error }) => last_error === 'fine')).toHaveLength(19);
    expect(rows.filter(({ last_error }) => last_error === null)).toHaveLength(1);
    expect((await app.outbox.stats()).relay).toMatchObject({ unsettled: 0, leasesLost: 0 });
    expect(world.requests('x')).toHaveLength(20);
  });

  it('is not kept up by one that the database refuses whatever it says: that is lost, and sent again', async () => {
    const app = await world.start({ lease: '1s', requestTimeout: '500ms' });
    const lost: string[] = [];
    app.outbox.on('leaseLost', ({ deliveryId }) => lost.push(deliveryId));
    await world.endpoint(app, 'x');
    const allow = await refuse(world.admin, 'settle', { sqlState: '23514', when: 'NEW.id % 10 = 5' });
    await sendMany(app, 20);
    await world.settled(18);
    await waitFor(() => lost.length >= 2, { description: 'both are told lost' });
    await allow();
    expect(await world.settled(20)).toHaveLength(20);
    expect(new Set(lost).size).toBe(2);
  });
});

function reclaims(): ReclaimStore {
  return new ReclaimStore(world.admin, '"baton"');
}
