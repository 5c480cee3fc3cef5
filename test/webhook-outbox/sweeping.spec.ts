import { waitFor } from '@nest-baton/testing';
import type { SweptEvent } from '@nest-baton/webhook-outbox';
import { type OutboxApp, OutboxWorld } from './support/outbox-world.js';
import { handOffs, startWithQueue, TestQueue } from './support/queue-app.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

/** Stores and never sweeps by itself. */
const PRODUCER = { role: 'producer', handOffGrace: '50ms' } as const;

async function send(app: OutboxApp, count: number): Promise<readonly string[]> {
  const sent = await app.outbox.sendMany(Array.from({ length: count }, (_, data) => ({ type: 'a', data })));
  return sent.map(({ outboxId }) => outboxId ?? '');
}

async function sweepOne(app: OutboxApp, lease: '400ms' | '1h' = '1h'): Promise<SweptEvent> {
  let swept: readonly SweptEvent[] = [];
  await waitFor(async () => (swept = await app.outbox.sweepPendingEvents({ lease })).length > 0, {
    description: 'an event to be swept',
  });
  expect(swept).toHaveLength(1);
  return swept[0]!;
}

describe('sweepPendingEvents', () => {
  it('claims each due event exactly once across concurrent sweepers', async () => {
    const apps = [
      await startWithQueue(world, new TestQueue(), PRODUCER),
      await startWithQueue(world, new TestQueue(), PRODUCER),
    ];
    await world.endpoint(apps[0]!, 'x');
    const ids = await send(apps[0]!, 300);
    await waitFor(async () => (await handOffs(world)).every(({ next_at }) => next_at.getTime() < Date.now()), {
      description: 'all to be due',
    });
    const found: string[] = [];
    for (let round = 0; round < 5; round++) {
      const sweeps = [...apps, ...apps].map((app) => app.outbox.sweepPendingEvents({ limit: 25, lease: '1h' }));
      for (const swept of await Promise.all(sweeps)) found.push(...swept.map(({ outboxId }) => outboxId));
    }
    expect(found).toHaveLength(300);
    expect(new Set(found)).toEqual(new Set(ids));
    expect((await world.deliveries()).every(({ attempts, state }) => attempts === 0 && state === 'ready')).toBe(true);
  });

  it('hides an event under a live lease, and finds it again after the lease, counted', async () => {
    const app = await startWithQueue(world, new TestQueue(), PRODUCER);
    await world.endpoint(app, 'x');
    const [outboxId] = await send(app, 1);
    const first = await sweepOne(app, '400ms');
    expect(first).toMatchObject({ outboxId, type: 'a', tenant: '', sweeps: 1, leaseUntil: expect.any(Date) });
    expect(await app.outbox.sweepPendingEvents()).toEqual([]);
    const second = await sweepOne(app);
    expect(second).toMatchObject({ outboxId, sweeps: 2 });
    expect(BigInt(second.fence)).toBeGreaterThan(BigInt(first.fence));
    const late = [() => first.complete(), () => first.fail('late'), () => first.reschedule('late', '1h')];
    const before = await handOffs(world);
    for (const settle of late) expect(await settle()).toBe(false);
    expect(await handOffs(world)).toEqual(before);
    expect(await world.deliveries()).toMatchObject([{ state: 'ready', attempts: 0 }]);
  });

  it('never finds what has settled, what is not due, what is leased, or what its endpoint may not get', async () => {
    const app = await startWithQueue(world, new TestQueue(), PRODUCER);
    await world.endpoint(app, 'x');
    const ids = await send(app, 5);
    const set = (nth: number, what: string) =>
      world.admin.query(`UPDATE baton.webhook_deliveries SET ${what} WHERE event_id = $1`, [ids[nth]]);
    await set(0, `state = 'delivered', settled_at = now()`);
    await set(1, `next_at = now() + interval '1 h'`);
    await set(2, `state = 'leased', fence = 1, lease_until = now() + interval '1 h'`);
    const other = await world.endpoint(app, 'paused', { types: ['b'] });
    await set(3, `endpoint_id = '${other.id}'`);
    await world.admin.query(
      `INSERT INTO baton.webhook_endpoint_states (endpoint_id, breaker, failures, failing_events, paused_until)
       VALUES ($1, 'closed', 0, 0, now() + interval '1 h')`,
      [other.id],
    );
    expect((await sweepOne(app)).outboxId).toBe(ids[4]);
    const left = new Map((await handOffs(world)).map((row) => [row.event_id, row]));
    expect(left.has(ids[0]!)).toBe(false);
    const inAnHour = Date.now() + 3_500_000;
    for (const nth of [1, 2]) expect(left.get(ids[nth]!)?.next_at.getTime()).toBeGreaterThan(inAnHour);
    expect([...left.values()].filter(({ count }) => count > 0)).toHaveLength(1);
  });

  it('settles by callback: complete, fail, reschedule', async () => {
    const app = await startWithQueue(world, new TestQueue(), { ...PRODUCER, handOffGrace: '300ms' });
    await world.endpoint(app, 'x');
    const dead: unknown[] = [];
    app.outbox.on('dead', (delivery) => dead.push(delivery));
    await send(app, 1);
    const swept = await sweepOne(app);
    expect(await swept.reschedule(new Error('queue is full'), '200ms')).toBe(true);
    expect(await swept.reschedule('again', '1h')).toBe(false);
    const again = await sweepOne(app);
    expect(again.sweeps).toBe(2);
    expect(await again.complete()).toBe(true);
    expect(await again.complete()).toBe(false);
    expect(await handOffs(world)).toMatchObject([{ lease_until: null, count: 2 }]);
    const last = await sweepOne(app);
    expect(await last.fail(new Error('nobody wants it'))).toBe(true);
    expect(await last.fail(new Error('first failure is kept'))).toBe(false);
    expect(await world.deliveries()).toMatchObject([
      { state: 'dead', reason: 'given-up', last_error: expect.stringContaining('nobody wants it'), attempts: 0 },
    ]);
    expect(dead).toMatchObject([{ reason: 'given-up', attempts: 0 }]);
    expect(await handOffs(world)).toEqual([]);
  });

  it('keeps no hand-off of an event that was delivered before complete', async () => {
    const app = await startWithQueue(world, new TestQueue(), PRODUCER);
    await world.endpoint(app, 'x');
    await send(app, 1);
    const swept = await sweepOne(app);
    await world.admin.query(`UPDATE baton.webhook_deliveries SET state = 'delivered', settled_at = now()`);
    expect(await swept.complete()).toBe(true);
    expect(await handOffs(world)).toEqual([]);
  });

  it('touches no leased delivery, whatever the callback', async () => {
    world.receiver.answer(() => ({ delayMs: 800 }));
    const app = await startWithQueue(world, new TestQueue(), PRODUCER);
    await world.endpoint(app, 'x');
    await world.endpoint(app, 'y');
    const [outboxId] = await send(app, 1);
    await world.admin.query(
      `UPDATE baton.webhook_deliveries d SET next_at = now() + interval '1 h' FROM baton.webhook_endpoints e
        WHERE e.id = d.endpoint_id AND e.url LIKE '%/y'`,
    );
    const swept = await sweepOne(app);
    const worker = await startWithQueue(world, new TestQueue(), { handOffGrace: '1h' });
    const delivering = worker.outbox.deliver(outboxId!);
    await world.received('x', 1);
    expect(await swept.fail('given up')).toBe(true);
    const rows = await world.deliveries();
    expect(rows.map(({ state }) => state).sort()).toEqual(['dead', 'leased']);
    expect(
      (await delivering).deliveries.map((one) => (one.result === 'settled' ? one.state : one.result)).sort(),
    ).toEqual(['dead', 'delivered']);
    expect(world.requests('y')).toHaveLength(0);
    expect(await handOffs(world)).toEqual([]);
  });

  it('refuses a limit or a lease that means nothing', async () => {
    const app = await startWithQueue(world, new TestQueue(), PRODUCER);
    for (const options of [
      { limit: 0 },
      { limit: 1.5 },
      { limit: 5_000 },
      { lease: 'soon' as never },
      { lease: '2d' as const },
    ])
      await expect(app.outbox.sweepPendingEvents(options)).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
  });
});

describe('the sweep of the module', () => {
  it('recovers a send that the queue has lost: handed over once in a lease, no attempt burnt, delivered once', async () => {
    let isLossy = true;
    const queue = new TestQueue(async ({ outboxId }) => {
      if (!isLossy) await apps[0]!.outbox.deliver(outboxId ?? '');
    });
    const apps = [await startWithQueue(world, queue), await startWithQueue(world, queue)];
    await world.endpoint(apps[0]!, 'x');
    await send(apps[0]!, 1);
    await waitFor(() => queue.told.length >= 4, { description: 'three sweeps' });
    const [row] = await handOffs(world);
    // The first time the producer told it; each time after that cost a sweep lease, by whichever of the two sweepers.
    expect(row?.count).toBeGreaterThanOrEqual(3);
    expect(queue.told.length - 1).toBeLessThanOrEqual(row!.count);
    expect(await world.deliveries()).toMatchObject([{ state: 'ready', attempts: 0 }]);
    isLossy = false;
    await world.settled(1);
    expect(await world.deliveries()).toMatchObject([{ state: 'delivered', attempts: 1 }]);
    expect(world.requests('x')).toHaveLength(1);
    await waitFor(async () => (await handOffs(world)).length === 0, { description: 'no hand-off to be left' });
  });

  it('hands over more than a batch, and asks a queue that refuses everything for a batch at most', async () => {
    let isRefusing = true;
    const queue = new TestQueue(() => {
      if (isRefusing) throw new Error('full');
    });
    const app = await startWithQueue(world, queue, { hints: 'off', pollInterval: '1h', handOffGrace: '100ms' });
    await world.endpoint(app, 'x');
    await send(app, 250);
    const worker = await startWithQueue(world, queue, { hints: 'off', pollInterval: '200ms', handOffGrace: '10s' });
    await waitFor(() => queue.told.length >= 100, { description: 'the first batch' });
    isRefusing = false;
    await waitFor(() => new Set(queue.told.map(({ outboxId }) => outboxId)).size === 250, {
      description: 'all to be handed over',
    });
    await worker.close();
  });
});
