import { type OutboxApp, OutboxWorld } from '../support/outbox-world.js';
import { startWithQueue, TestQueue } from '../support/queue-app.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

async function send(app: OutboxApp, count: number, type = 'a'): Promise<void> {
  await app.outbox.sendMany(Array.from({ length: count }, (_, data) => ({ type, data })));
}

/** The most requests that a path had at one time. */
function watchInFlight(delayMs: number): ReadonlyMap<string, number> {
  const now = new Map<string, number>();
  const most = new Map<string, number>();
  world.receiver.answer(({ path }) => {
    const count = (now.get(path) ?? 0) + 1;
    now.set(path, count);
    most.set(path, Math.max(most.get(path) ?? 0, count));
    setTimeout(() => now.set(path, (now.get(path) ?? 0) - 1), delayMs);
    return { delayMs };
  });
  return most;
}

describe('an endpoint with limits of its own', () => {
  it('shows them, keeps what an update leaves out, and has the module’s again with null', async () => {
    const app = await world.start({ role: 'producer' });
    const { id } = await world.endpoint(app, 'x');
    expect(await app.endpoints.get(id)).toMatchObject({ scheduleMs: null, maxInFlight: null });
    expect(await app.endpoints.update(id, { schedule: ['30d', 250], maxInFlight: 1_000 })).toMatchObject({
      scheduleMs: [2_592_000_000, 250],
      maxInFlight: 1_000,
    });
    await app.endpoints.update(id, { types: ['b'] });
    await app.endpoints.update(id, { maxInFlight: null });
    expect(await app.endpoints.get(id)).toMatchObject({ scheduleMs: [2_592_000_000, 250], maxInFlight: null });
    expect(await app.endpoints.update(id, { schedule: null })).toMatchObject({ scheduleMs: null, types: ['b'] });
    expect(await app.endpoints.update(id, { rate: { perSecond: 2.5 } })).toMatchObject({
      rate: { perSecond: 2.5, burst: 3 },
    });
    expect(await app.endpoints.update(id, { rate: null })).toMatchObject({ rate: null });
    const url = `${world.receiver.url}y`;
    expect(
      await app.endpoints.create({ url, schedule: [], maxInFlight: 3, rate: { perSecond: 0.1, burst: 9 } }),
    ).toMatchObject({
      scheduleMs: [],
      maxInFlight: 3,
      rate: { perSecond: 0.1, burst: 9 },
    });
  });

  it.each([
    { schedule: '5s' },
    { schedule: ['soon'] },
    { schedule: ['31d'] },
    { schedule: Array<string>(101).fill('1s') },
    { maxInFlight: 0 },
    { maxInFlight: 1_001 },
    { maxInFlight: 1.5 },
    { maxInFlight: '3' },
    { rate: {} },
    { rate: 5 },
    { rate: { perSecond: 0 } },
    { rate: { perSecond: Infinity } },
    { rate: { perSecond: 10_001 } },
    { rate: { perSecond: 1, burst: 0 } },
    { rate: { perSecond: 1, burst: 1.5 } },
  ])('refuses %j', async (limits) => {
    const app = await world.start({ role: 'producer' });
    const { id } = await world.endpoint(app, 'x');
    const refused = { code: 'ENDPOINT_INVALID', message: expect.stringContaining(Object.keys(limits)[0]!) as string };
    await expect(app.endpoints.update(id, limits as never)).rejects.toMatchObject(refused);
    const url = `${world.receiver.url}y`;
    await expect(app.endpoints.create({ url, ...(limits as object) })).rejects.toMatchObject(refused);
  });

  it('gets at most its own number of requests at one time from a process, be it more or fewer than the module’s', async () => {
    const most = watchInFlight(100);
    const app = await world.start({ maxInFlight: 3 });
    const [few, many] = [await world.endpoint(app, 'few'), await world.endpoint(app, 'many')];
    await world.endpoint(app, 'usual');
    await app.endpoints.update(few.id, { maxInFlight: 1 });
    await app.endpoints.update(many.id, { maxInFlight: 8 });
    await send(app, 16);
    await world.settled(48, 15_000);
    expect([most.get('/few'), most.get('/usual')]).toEqual([1, 3]);
    expect(most.get('/many')).toBeGreaterThan(3);
    expect(most.get('/many')).toBeLessThanOrEqual(8);
  });

  it('has its number changed while it is busy: the next claims heed it', async () => {
    const most = watchInFlight(50);
    const app = await world.start({ maxInFlight: 1, pollInterval: '50ms' });
    const { id } = await world.endpoint(app, 'x');
    await send(app, 60);
    await world.received('x', 3);
    expect(most.get('/x')).toBe(1);
    await app.endpoints.update(id, { maxInFlight: 6 });
    await world.settled(60, 15_000);
    expect(most.get('/x')).toBeGreaterThan(1);
    expect(most.get('/x')).toBeLessThanOrEqual(6);
  });

  it('is tried again by its own schedule, which is that of the moment when each request starts, a replay included', async () => {
    world.receiver.answer({ status: 500 });
    const app = await world.start({ schedule: ['1h', '1h', '1h'], breakerFailures: 0 });
    const { id } = await world.endpoint(app, 'x');
    await app.endpoints.update(id, { schedule: ['20ms'] });
    await send(app, 1);
    const [dead] = await world.settled(1);
    expect(dead).toMatchObject({ state: 'dead', reason: 'exhausted', attempts: 2 });
    await app.endpoints.update(id, { schedule: ['20ms', '20ms', '20ms'] });
    await app.deliveries.replay(dead!.id);
    await world.received('x', 6);
    expect(await world.settled(1)).toMatchObject([{ state: 'dead', attempts: 4 }]);
    await app.endpoints.update(id, { schedule: [] });
    await send(app, 1);
    expect((await world.settled(2))[1]).toMatchObject({ state: 'dead', attempts: 1 });
  });

  it('has the attempts of its own schedule also when a process died with one', async () => {
    const app = await world.start({ role: 'producer', schedule: ['1s', '1s'] });
    const [short, long] = [await world.endpoint(app, 'short'), await world.endpoint(app, 'long')];
    await app.endpoints.update(short.id, { schedule: [] });
    await app.endpoints.update(long.id, { schedule: ['20ms', '20ms', '20ms', '20ms'] });
    await send(app, 1);
    await world.admin.query(
      `UPDATE baton.webhook_deliveries SET state = 'leased', lease_until = now() - interval '1 s', fence = 1, started_at = now(),
              attempts = CASE endpoint_id WHEN $1 THEN 1 ELSE 3 END, last_outcome = 'unknown'`,
      [short.id],
    );
    await world.start({ role: 'worker', schedule: ['1s', '1s'] });
    expect((await world.settled(2)).map(({ state, attempts }) => `${state} ${attempts}`).sort()).toEqual([
      'dead 1',
      'delivered 4',
    ]);
    expect(world.requests('short')).toHaveLength(0);
  });

  it('has them heeded where a queue says what to send, too', async () => {
    const most = watchInFlight(50);
    const app = await startWithQueue(world, new TestQueue(), { maxInFlight: 8, schedule: ['1h'], breakerFailures: 0 });
    const { id } = await world.endpoint(app, 'x');
    await app.endpoints.update(id, { maxInFlight: 2, schedule: [] });
    const sent = await app.outbox.sendMany(Array.from({ length: 12 }, (_, data) => ({ type: 'a', data })));
    await Promise.all(sent.map(({ outboxId }) => app.outbox.deliver(outboxId!)));
    expect(await world.settled(12)).toHaveLength(12);
    expect(most.get('/x')).toBe(2);
    world.receiver.answer({ status: 500 });
    const { outboxId } = await app.outbox.send({ type: 'a', data: 'last' });
    const summary = await app.outbox.deliver(outboxId!);
    expect(summary.deliveries).toMatchObject([{ result: 'settled', state: 'dead' }]);
  });
});
