import { waitFor } from '@nest-baton/testing';
import { WebhookOutboxModule, WebhookQueue } from '@nest-baton/webhook-outbox';
import { Test } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';
import { header, type OutboxApp, OutboxWorld } from './support/outbox-world.js';
import { handOffs, QUEUE_OPTIONS, startWithQueue, TestQueue } from './support/queue-app.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

/** Nobody sweeps within a test that is about something else. */
const PATIENT = { handOffGrace: '1h' } as const;

async function isStored(outboxId: string | undefined): Promise<boolean> {
  const { rowCount } = await world.admin.query('SELECT FROM baton.webhook_events WHERE id = $1', [outboxId]);
  return rowCount === 1;
}

async function send(app: OutboxApp, id?: string): Promise<string> {
  const { outboxId } = await app.outbox.send({ type: 'a', data: 1, ...(id === undefined ? {} : { id }) });
  return outboxId ?? '';
}

describe('the queue is told', () => {
  it('after the row was inserted: row before queue, and its id is passed', async () => {
    const seen: boolean[] = [];
    const queue = new TestQueue(async ({ outboxId }) => void seen.push(await isStored(outboxId)));
    const app = await startWithQueue(world, queue, PATIENT);
    await world.endpoint(app, 'x');
    const sent = await app.outbox.send({ type: 'a', id: 'one', data: { secret: 1 } });
    await waitFor(() => seen.length === 1, { description: 'the queue to be told' });
    expect(seen).toEqual([true]);
    expect(queue.told).toEqual([{ outboxId: sent.outboxId, id: 'one', type: 'a', tenant: '' }]);
  });

  it('after the outer commit, of each new event, and of nothing that was rolled back', async () => {
    const queue = new TestQueue();
    const app = await startWithQueue(world, queue, PATIENT);
    await world.endpoint(app, 'x', { types: ['a'] });
    const event = (id: string, type = 'a') => ({ type, id, data: 1 });
    const runner = app.dataSource.createQueryRunner();
    await runner.startTransaction();
    await app.outbox.send(event('outer'), { transaction: runner });
    await runner.startTransaction();
    await app.outbox.sendMany([event('dropped'), event('dropped too')], { transaction: runner });
    await runner.rollbackTransaction();
    await runner.startTransaction();
    await app.outbox.sendMany([event('kept'), event('unheard', 'b'), event('kept')], { transaction: runner });
    await runner.commitTransaction();
    expect(queue.told).toEqual([]);
    await runner.commitTransaction();
    await runner.release();
    await app.outbox.send(event('outer'));
    expect(queue.told.map(({ id }) => id)).toEqual(['outer', 'kept']);
  });

  it('by nobody but the sweep where hints are off', async () => {
    const queue = new TestQueue();
    const app = await startWithQueue(world, queue, { hints: 'off', handOffGrace: '500ms' });
    await world.endpoint(app, 'x');
    const sentAt = Date.now();
    await send(app);
    await waitFor(() => queue.told.length === 1, { description: 'the sweep to hand over' });
    expect(Date.now() - sentAt).toBeGreaterThanOrEqual(490);
  });
});

describe.each([
  [
    'throws synchronously',
    () => {
      throw new Error('no connection');
    },
  ],
  ['rejects', () => Promise.reject(new Error('no connection'))],
])('when send of the queue %s', (_how, fail: () => Promise<never>) => {
  it('the caller does not notice, it is told as an event, and the row is swept and delivered', async () => {
    let isBroken = true;
    const queue = new TestQueue((message) => (isBroken ? fail() : app.outbox.deliver(message.outboxId ?? '')));
    const app = await startWithQueue(world, queue);
    await world.endpoint(app, 'x');
    const failures: unknown[] = [];
    app.outbox.on('handOffFailed', (failure) => failures.push(failure));
    const sent = await app.outbox.send({ type: 'a', data: 1 });
    expect(sent).toMatchObject({ state: 'persisted', deliveries: 1 });
    await app.dataSource.transaction((transaction) => app.outbox.send({ type: 'a', data: 2 }, { transaction }));
    await waitFor(() => failures.length >= 2, { description: 'the failures to be told' });
    expect(failures[0]).toMatchObject({ outboxId: sent.outboxId, error: { message: 'no connection' } });
    isBroken = false;
    await world.settled(2);
    expect(world.requests('x')).toHaveLength(2);
    expect((await world.deliveries()).every(({ attempts }) => attempts === 1)).toBe(true);
    await waitFor(async () => (await handOffs(world)).length === 0, { description: 'no hand-off to be left' });
  });
});

describe('a queue that never answers', () => {
  it('delays no caller and no shutdown', async () => {
    const queue = new TestQueue(() => new Promise<never>(() => undefined));
    const app = await startWithQueue(world, queue);
    await world.endpoint(app, 'x');
    for (let i = 0; i < 20; i++) await send(app);
    await waitFor(() => queue.told.length > 20, { description: 'the sweep to try' });
    const startedAt = Date.now();
    await app.close();
    expect(Date.now() - startedAt).toBeLessThan(3_000);
  });
});

describe('deliver', () => {
  it('is the only one that sends, and says what came of it', async () => {
    const app = await startWithQueue(world, new TestQueue(), PATIENT);
    const { secret, id: endpointId } = await world.endpoint(app, 'x');
    const outboxId = await send(app);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(world.requests('x')).toHaveLength(0);
    const [{ id: deliveryId } = { id: '' }] = await world.deliveries();
    expect(await app.outbox.deliver(outboxId)).toEqual({
      outboxId,
      isGone: false,
      isFanOutPending: false,
      deliveries: [{ deliveryId, endpointId, result: 'settled', state: 'delivered' }],
    });
    expect(world.requests('x')).toHaveLength(1);
    expect(world.receiver.verify(world.requests('x')[0]!, secret)).toBe(true);
    expect(await world.deliveries()).toMatchObject([{ state: 'delivered', attempts: 1 }]);
    expect(await handOffs(world)).toEqual([]);
  });

  it('sends nothing twice when a message is delivered again, in the same process, in another, and at the same time', async () => {
    world.receiver.answer(() => ({ delayMs: 50 }));
    const apps = [
      await startWithQueue(world, new TestQueue(), PATIENT),
      await startWithQueue(world, new TestQueue(), PATIENT),
    ];
    await world.endpoint(apps[0]!, 'x');
    await world.endpoint(apps[0]!, 'y');
    const ids: string[] = [];
    for (let i = 0; i < 20; i++) ids.push(await send(apps[0]!));
    const calls = [...ids, ...ids].flatMap((id) => apps.map((app) => app.outbox.deliver(id)));
    const results = (await Promise.all(calls)).flatMap(({ deliveries }) => deliveries.map(({ result }) => result));
    expect(new Set(results)).toEqual(new Set(['settled', 'heldElsewhere']));
    await world.settled(40);
    const again = await Promise.all(ids.map((id) => apps[1]!.outbox.deliver(id)));
    expect(again.every(({ deliveries }) => deliveries.every(({ result }) => result === 'settled'))).toBe(true);
    for (const path of ['x', 'y'])
      expect(new Set(world.requests(path).map((request) => header(request, 'webhook-id'))).size).toBe(20);
    expect(world.requests('x').length + world.requests('y').length).toBe(40);
    expect(await handOffs(world)).toEqual([]);
  });

  it('says when the next attempt is due, and the sweep hands it over then', async () => {
    world.receiver.answer([{ status: 500 }, { status: 200 }]);
    const queue = new TestQueue();
    const app = await startWithQueue(world, queue, { schedule: ['1s'], handOffGrace: '20s' });
    await world.endpoint(app, 'x');
    const outboxId = await send(app);
    const before = Date.now();
    const { deliveries } = await app.outbox.deliver(outboxId);
    expect(deliveries).toMatchObject([{ result: 'retryAt', retryAt: expect.any(Date) }]);
    await waitFor(() => queue.told.length === 2, { description: 'the sweep to hand over' });
    expect(Date.now() - before).toBeGreaterThan(750);
    expect(queue.told[1]).toEqual(queue.told[0]);
    expect(await app.outbox.deliver(outboxId)).toMatchObject({
      deliveries: [{ result: 'settled', state: 'delivered' }],
    });
    expect(await world.deliveries()).toMatchObject([{ attempts: 2 }]);
    expect(await handOffs(world)).toEqual([]);
  });

  it('says that another process sends at this moment', async () => {
    world.receiver.answer(() => ({ delayMs: 400 }));
    const [one, two] = [
      await startWithQueue(world, new TestQueue(), PATIENT),
      await startWithQueue(world, new TestQueue(), PATIENT),
    ];
    await world.endpoint(one, 'x');
    const outboxId = await send(one);
    const first = one.outbox.deliver(outboxId);
    await world.received('x', 1);
    expect(await two.outbox.deliver(outboxId)).toMatchObject({ deliveries: [{ result: 'heldElsewhere' }] });
    expect(await first).toMatchObject({ deliveries: [{ result: 'settled' }] });
  });

  it('waits for a slot of a busy endpoint, and defers when none comes within a lease', async () => {
    world.receiver.answer(() => ({ delayMs: 300 }));
    const busy = { ...PATIENT, maxInFlight: 1, lease: '1500ms', requestTimeout: '1s' } as const;
    const app = await startWithQueue(world, new TestQueue(), busy);
    await world.endpoint(app, 'x');
    const ids = [];
    for (let i = 0; i < 10; i++) ids.push(await send(app));
    const results = (await Promise.all(ids.map((id) => app.outbox.deliver(id)))).map(
      ({ deliveries }) => deliveries[0]?.result,
    );
    const settled = results.filter((result) => result === 'settled').length;
    expect(settled).toBeGreaterThanOrEqual(3);
    // One more at most: claimed for a call that was giving up in that moment.
    const held = results.filter((result) => result === 'heldElsewhere').length;
    expect(held).toBeLessThanOrEqual(1);
    expect(results.filter((result) => result === 'deferred').length).toBe(10 - settled - held);
    const sent = world.requests('x').map((request) => header(request, 'webhook-id'));
    expect(sent.length - settled).toBeLessThanOrEqual(1);
    expect(new Set(sent).size).toBe(sent.length);
  });

  it('is done with a message that names no event', async () => {
    const app = await startWithQueue(world, new TestQueue(), PATIENT);
    for (const outboxId of ['0190b9f0-0000-7000-8000-000000000000', 'nonsense', '', null as unknown as string])
      expect(await app.outbox.deliver(outboxId)).toMatchObject({ isGone: true, deliveries: [] });
  });

  it('works beside a relay that sends on its own', async () => {
    world.receiver.answer(() => ({ delayMs: 100 }));
    const app = await world.start({ hints: 'off', pollInterval: '1h' });
    await world.endpoint(app, 'x');
    const outboxId = await send(app);
    expect(await app.outbox.deliver(outboxId)).toMatchObject({ deliveries: [{ result: 'settled' }] });
    expect(world.requests('x')).toHaveLength(1);
    expect(await handOffs(world)).toEqual([]);
  });

  it('refuses a process without a relay, and one that stops', async () => {
    const producer = await world.start({ role: 'producer' });
    await expect(producer.outbox.deliver('x')).rejects.toMatchObject({ code: 'NO_RELAY' });
    world.receiver.answer(() => ({ delayMs: 500 }));
    const app = await startWithQueue(world, new TestQueue(), PATIENT);
    await world.endpoint(app, 'x');
    const outboxId = await send(app);
    const during = app.outbox.deliver(outboxId);
    await world.received('x', 1);
    await app.close();
    expect(await during).toMatchObject({ deliveries: [{ result: 'settled', state: 'delivered' }] });
    await expect(app.outbox.deliver(outboxId)).rejects.toMatchObject({ code: 'SHUTTING_DOWN', retryable: true });
  });
});

describe("dispatch 'queue'", () => {
  const start = (queue: object | undefined, providers: object[] = []) => {
    const outbox = WebhookOutboxModule.forRoot({
      ...QUEUE_OPTIONS,
      ...(queue === undefined ? {} : { queue: WebhookQueue }),
    });
    return Test.createTestingModule({
      imports: [TypeOrmModule.forRoot({ type: 'postgres', url: world.url, retryAttempts: 0 }), outbox],
      providers: providers as never[],
    })
      .compile()
      .then(async (app) => {
        world.closeAtEnd(app);
        await app.init();
      });
  };

  it('does not start without a queue, with one that is not provided, or with one that cannot send', async () => {
    const invalid = (problem: string) => ({ code: 'OPTIONS_INVALID', message: expect.stringContaining(problem) });
    await expect(start(undefined)).rejects.toMatchObject(invalid('needs the extra `queue`'));
    await expect(start({})).rejects.toMatchObject(invalid('cannot be had'));
    await expect(start({}, [{ provide: WebhookQueue, useValue: {} }])).rejects.toMatchObject(invalid('no method send'));
    await start({}, [{ provide: WebhookQueue, useValue: new TestQueue() }]);
  });

  it('hands over at its start what was made due behind its back', async () => {
    const producer = await startWithQueue(world, new TestQueue(), { role: 'producer', handOffGrace: '1h' });
    await world.endpoint(producer, 'x');
    const outboxId = await send(producer);
    expect((await handOffs(world))[0]?.next_at.getTime()).toBeGreaterThan(Date.now() + 3_000_000);
    await world.admin.query(`UPDATE baton.webhook_deliveries SET created_at = created_at - interval '2 h'`);
    const queue = new TestQueue();
    await startWithQueue(world, queue, { handOffGrace: '1h' });
    await waitFor(() => queue.told.length === 1, { description: 'it to be handed over' });
    expect(queue.told).toMatchObject([{ outboxId }]);
  });

  it('hands over what producers with another dispatch have left', async () => {
    const producer = await world.start({ role: 'producer' });
    await world.endpoint(producer, 'x');
    const ids = [];
    for (let i = 0; i < 5; i++) ids.push(await send(producer));
    expect(await handOffs(world)).toEqual([]);
    const queue = new TestQueue();
    await world.admin.query(`UPDATE baton.webhook_deliveries SET created_at = created_at - interval '1 min'`);
    await startWithQueue(world, queue, { handOffGrace: '1m' });
    await waitFor(() => queue.told.length === 5, { description: 'all to be handed over' });
    expect(new Set(queue.told.map(({ outboxId }) => outboxId))).toEqual(new Set(ids));
  });
});
