import { type OutboxApp, OutboxWorld } from '../support/outbox-world.js';

let world: OutboxWorld;
let app: OutboxApp;
let deliveries: OutboxApp['deliveries'];
/** A dead letter of the tenant `b`. */
let theirs: string;

beforeAll(async () => {
  world = await OutboxWorld.create();
  world.receiver.answer({ status: 400 });
  app = await world.start();
  deliveries = app.deliveries;
  for (const tenant of ['a', 'b']) await world.endpoint(app, tenant, { tenant });
  await app.outbox.send({ type: 't', tenant: 'a', data: 1 });
  for (let nth = 0; nth < 3; nth++) await app.outbox.send({ type: 't', tenant: 'b', data: nth });
  const rows = await world.settled(4);
  theirs = String(rows.at(-1)?.id);
});
afterAll(() => world.stop());

describe('a call for one tenant', () => {
  it('finds, replays and abandons nothing of another', async () => {
    const scope = { tenant: 'a' };
    for (const call of [
      deliveries.get(theirs, scope),
      deliveries.attempts(theirs, scope),
      deliveries.replay(theirs, scope),
      deliveries.abandon(theirs, scope),
    ])
      await expect(call).rejects.toMatchObject({ code: 'DELIVERY_NOT_FOUND' });
    const { endpointId, outboxId } = await deliveries.get(theirs);
    for (const filter of [{ endpointId }, { outboxId }, { state: 'failed', endpointId }] as const) {
      expect((await deliveries.list({ ...filter, ...scope })).deliveries).toEqual([]);
      expect(await deliveries.replayMany({ filter: { ...filter, ...scope } })).toMatchObject({ replayed: 0 });
    }
    expect(await deliveries.abandon({ endpointId }, scope)).toBe(0);
    expect(world.requests('b')).toHaveLength(3);
    expect(await deliveries.get(theirs, { tenant: 'b' })).toMatchObject({ state: 'failed', tenant: 'b' });
  });

  it('says the same of what is another tenant’s as of what is nowhere', async () => {
    const messages: string[] = [];
    for (const id of [theirs, '4711'])
      await deliveries.get(id, { tenant: 'a' }).catch((error: Error) => messages.push(error.message.replace(id, '?')));
    expect(messages).toHaveLength(2);
    expect(messages[0]).toBe(messages[1]);
  });

  it('is not widened by a cursor of another tenant, nor by one that was forged', async () => {
    const { nextCursor } = await deliveries.list({ tenant: 'b' }, { limit: 1 });
    for (const cursor of [String(nextCursor), Buffer.from('d1:9223372036854775807').toString('base64url')]) {
      const { deliveries: seen } = await deliveries.list({ tenant: 'a' }, { cursor });
      expect(seen.every(({ tenant }) => tenant === 'a')).toBe(true);
    }
  });

  it.each([
    '',
    'd1:1',
    Buffer.from('d1:1 OR true').toString('base64url'),
    Buffer.from('d1:-1').toString('base64url'),
    Buffer.from('d1:9223372036854775808').toString('base64url'),
    Buffer.from('d2:1').toString('base64url'),
    'x'.repeat(1_000),
  ])('refuses a cursor that no page gave: %j', async (cursor) => {
    await expect(deliveries.list({ tenant: 'a' }, { cursor })).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
  });

  it.each([
    [{ tenant: undefined }, /tenant must be a text/],
    [{ tenant: 1 }, /tenant must be a text/],
    [{ tenant: ['a', 'b'] }, /tenant must be a text/],
    [{ tenat: 'a' }, /tenat.*tenant/],
    [{ endpointId: "x' OR 1=1 --" }, /endpointId must be a UUID/],
    [{ type: 'a\0' }, /type must be/],
    [{ type: '%' }, /type must be/],
    [{ type: 'a!' }, /type must be/],
    [{ type: '' }, /type must be/],
    [{ type: 't'.repeat(129) }, /type must be/],
    [{ tenant: '\ud800' }, /tenant must be a text/],
    [{ eventId: '\udc00' }, /eventId must be a text/],
    [{ state: "dead') OR (1=1" }, /state must be one or a list/],
    [{ state: [] }, /state must be one or a list/],
    [{ createdAfter: 'yesterday' }, /createdAfter must be a Date/],
    [{ createdAfter: new Date(NaN) }, /createdAfter must be a Date/],
    [{ createdBefore: new Date(-8.64e15) }, /createdBefore must be a Date/],
    [null, /must be an object/],
  ])('refuses the filter %j, which would be wider than what was meant', async (filter, message) => {
    await expect(deliveries.list(filter as never)).rejects.toThrow(message);
    await expect(deliveries.replayMany({ filter: filter as never })).rejects.toThrow(message);
    await expect(deliveries.abandon(filter as never)).rejects.toThrow(message);
  });

  it.each([{ limit: 0 }, { limit: 501 }, { limit: 1.5 }, { limit: Infinity }])(
    'has a bounded page: %j',
    async (page) => {
      await expect(deliveries.list({}, page)).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
    },
  );

  it('refuses to replay or to abandon everything of everybody by a filter that is left out', async () => {
    for (const call of [
      deliveries.replayMany({ filter: {} }),
      deliveries.replayMany({} as never),
      deliveries.abandon({}),
      deliveries.abandon(undefined as never),
    ])
      await expect(call).rejects.toThrow(/filter must have at least one of tenant/);
  });
});
