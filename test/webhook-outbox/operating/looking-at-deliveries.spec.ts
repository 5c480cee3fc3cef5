import { type OutboxApp, OutboxWorld } from '../support/outbox-world.js';

let world: OutboxWorld;
let app: OutboxApp;
let deliveries: OutboxApp['deliveries'];

beforeEach(async () => {
  world = await OutboxWorld.create();
  app = await world.start();
  deliveries = app.deliveries;
});
afterEach(() => world.stop());

describe('a delivery', () => {
  it('is shown with what became of it, and with the requests that were made', async () => {
    world.receiver.answer([{ status: 500, body: 'no' }, { status: 204 }]);
    const { id: endpointId } = await world.endpoint(app, 'x', { tenant: 'acme' });
    const { outboxId } = await app.outbox.send({ type: 'a', tenant: 'acme', id: 'mine', data: 1 });
    const [row] = await world.settled(1);
    const shown = await deliveries.get(String(row?.id));
    expect(shown).toMatchObject({
      id: row?.id,
      webhookId: String(world.requests('x')[0]?.headers['webhook-id']),
      outboxId,
      eventId: 'mine',
      type: 'a',
      tenant: 'acme',
      endpointId,
      state: 'delivered',
      attempts: 2,
      outcome: 'delivered',
      status: 204,
      leaseUntil: null,
      settledAt: row?.settled_at,
    });
    expect(await deliveries.attempts(shown.id)).toMatchObject([
      { deliveryId: shown.id, attempt: 1, outcome: 'retry', status: 500, error: 'no', isLate: false },
      { attempt: 2, outcome: 'delivered', status: 204 },
    ]);
  });

  it('that is not there is not found, whatever its id looks like', async () => {
    const ids = ['0', '-1', '1.5', 'x', '', '9223372036854775808', '99999999999999999999', '1; DROP TABLE x', '4711'];
    for (const id of [...ids, undefined as never, 1 as never])
      for (const call of [deliveries.get(id), deliveries.attempts(id), deliveries.replay(id)])
        await expect(call).rejects.toMatchObject({ code: 'DELIVERY_NOT_FOUND', retryable: false });
    for (const id of ids) await expect(deliveries.abandon(id)).rejects.toMatchObject({ code: 'DELIVERY_NOT_FOUND' });
  });
});

describe('a list of deliveries', () => {
  async function sent(): Promise<void> {
    world.receiver.answer((request) => ({ status: request.path === '/bad' ? 400 : 204 }));
    await world.endpoint(app, 'good', { types: ['good.*'] });
    await world.endpoint(app, 'bad', { types: ['bad'] });
    for (let nth = 0; nth < 7; nth++) {
      await app.outbox.send({ type: 'good.one', data: nth });
      await app.outbox.send({ type: 'bad', id: `bad-${nth}`, data: nth });
    }
    await world.settled(14);
  }

  it('comes in pages, newest first, each delivery once, also while more are sent', async () => {
    await sent();
    const seen: string[] = [];
    let cursor: string | null = null;
    for (let page = 0; page < 5; page++) {
      const { deliveries: some, nextCursor }: Awaited<ReturnType<typeof deliveries.list>> = await deliveries.list(
        {},
        cursor === null ? { limit: 5 } : { limit: 5, cursor },
      );
      seen.push(...some.map(({ id }) => id));
      await app.outbox.send({ type: 'good.one', data: `later ${page}` });
      cursor = nextCursor;
      if (cursor === null) break;
    }
    expect(seen).toHaveLength(14);
    expect(seen.map(Number)).toEqual([...seen].map(Number).sort((a, b) => b - a));
    expect(new Set(seen).size).toBe(14);
  });

  it('ends with a full page when there is no more', async () => {
    await sent();
    expect((await deliveries.list({}, { limit: 14 })).nextCursor).toBeNull();
    expect((await deliveries.list({}, { limit: 13 })).nextCursor).not.toBeNull();
  });

  it('is narrowed by each condition', async () => {
    await sent();
    const bad = await deliveries.list({ type: 'bad' });
    const count = async (filter: Parameters<typeof deliveries.list>[0]): Promise<number> =>
      (await deliveries.list(filter)).deliveries.length;
    const [newest] = bad.deliveries;
    const oldest = bad.deliveries.at(-1)!;
    expect(bad.deliveries).toHaveLength(7);
    expect(await count({ endpointId: oldest.endpointId })).toBe(7);
    expect(await count({ state: 'failed' })).toBe(7);
    expect(await count({ state: ['failed', 'delivered'] })).toBe(14);
    expect(await count({ state: 'dead' })).toBe(0);
    expect(await count({ type: '*' })).toBe(14);
    expect(await count({ type: 'good.*' })).toBe(7);
    expect(await count({ type: 'g__d.*' })).toBe(0);
    expect(await count({ outboxId: oldest.outboxId })).toBe(1);
    expect(await count({ eventId: 'bad-0' })).toBe(1);
    expect(await count({ eventId: 'bad-0', tenant: '' })).toBe(1);
    expect(await count({ eventId: 'bad-0', tenant: 'x' })).toBe(0);
    expect(await count({ type: 'bad', createdAfter: oldest.createdAt })).toBe(7);
    expect(await count({ type: 'bad', createdBefore: oldest.createdAt })).toBe(0);
    expect(await count({ type: 'bad', createdBefore: new Date(Number(newest!.createdAt) + 1_000) })).toBe(7);
  });
});
