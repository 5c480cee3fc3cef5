import { waitFor } from '@nest-baton/testing';
import type { WebhookOutboxOptions } from '@nest-baton/webhook-outbox';
import { header, type OutboxApp, OutboxWorld } from './support/outbox-world.js';
import { handOffs, startWithQueue, TestQueue } from './support/queue-app.js';

let world: OutboxWorld;
let app: OutboxApp;

async function start(options: WebhookOutboxOptions = {}): Promise<void> {
  app = await world.start(options);
}

beforeEach(async () => {
  world = await OutboxWorld.create();
});
afterEach(() => world.stop());

async function states(): Promise<readonly string[]> {
  return (await world.deliveries()).map(({ state }) => state);
}

describe('an endpoint', () => {
  it('is shown without its secret and without what its headers say', async () => {
    await start({ role: 'producer', keys: [{ id: 'k', key: Buffer.alloc(32, 1).toString('base64') }] });
    const url = `${world.receiver.url}x`;
    const created = await app.endpoints.create({ url, types: ['a'], tenant: 't', headers: { 'X-Token': 'geheim' } });
    const shown = await app.endpoints.get(created.id);
    expect(shown).toMatchObject({ url, types: ['a'], tenant: 't', headerNames: ['x-token'], state: 'active' });
    expect(JSON.stringify(shown)).not.toMatch(/geheim|whsec_/);
    const { secret, ...rest } = created;
    expect(rest).toEqual(shown);
    expect(secret).toMatch(/^whsec_/);
  });

  it('that was updated is sent to as it is from then on, events that wait included', async () => {
    world.receiver.answer(({ path }) => ({ status: path === '/old' ? 500 : 204 }));
    await start({ schedule: ['1s'] });
    const { id } = await world.endpoint(app, 'old', { types: ['a'] });
    await app.outbox.send({ type: 'a', data: 1 });
    await world.received('old', 1);
    const changed = await app.endpoints.update(id, {
      url: `${world.receiver.url}new`,
      types: ['b'],
      headers: { 'x-to': 'new' },
    });
    expect(changed).toMatchObject({ id, types: ['b'], headerNames: ['x-to'] });
    const [request] = await world.received('new', 1);
    expect(header(request!, 'x-to')).toBe('new');
    expect(await app.outbox.send({ type: 'a', data: 1 })).toMatchObject({ state: 'nobody_subscribed' });
    await app.outbox.send({ type: 'b', data: 1 });
    await world.received('new', 2);
    expect(world.requests('old')).toHaveLength(1);
  });

  it('refuses an update that create would refuse, and changes nothing', async () => {
    await start({ role: 'producer' });
    const { id, secret: _secret, ...created } = await world.endpoint(app, 'x');
    for (const change of [
      {},
      undefined,
      { url: 'https://10.0.0.1/' },
      { types: [] },
      { headers: { 'webhook-id': 'forged' } },
      { headers: { x: 'a\r\nb' } },
      { tenant: 'other' },
      { url: undefined },
    ])
      await expect(app.endpoints.update(id, change as never)).rejects.toMatchObject({ code: 'ENDPOINT_INVALID' });
    expect(await app.endpoints.get(id)).toEqual({ id, ...created });
  });

  it('that is disabled gets nothing: what is open and what comes is parked, and sent by a replay once it is enabled', async () => {
    world.receiver.answer({ status: 500 });
    await start({ schedule: ['1h'], breakerFailures: 0 });
    const { id } = await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    await world.received('x', 1);
    expect(await app.endpoints.disable(id)).toMatchObject({ state: 'disabled', disabledReason: 'requested' });
    await app.outbox.send({ type: 'a', data: 2 });
    await waitFor(async () => (await states()).every((state) => state === 'parked'), {
      description: 'both parked',
      timeoutMs: 15_000,
    });
    expect(world.requests('x')).toHaveLength(1);
    world.receiver.answer({ status: 204 });
    expect(await app.endpoints.enable(id)).toMatchObject({ state: 'active', disabledReason: null });
    await app.deliveries.replayMany({ filter: { endpointId: id, state: 'parked' } });
    await world.received('x', 3);
    await waitFor(async () => (await states()).every((state) => state === 'delivered'), { description: 'deliveries' });
  });

  it('that is enabled has a clean slate', async () => {
    world.receiver.answer({ status: 500 });
    await start({ schedule: ['20ms', '20ms', '1h'], breakerFailures: 2, breakerPause: '1h' });
    const { id } = await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    const open = async () =>
      (await world.admin.query(`SELECT FROM baton.webhook_endpoint_states WHERE breaker = 'open'`)).rowCount;
    await waitFor(async () => (await open()) === 1, { description: 'an open breaker' });
    world.receiver.answer({ status: 204 });
    await app.outbox.send({ type: 'a', data: 2 });
    const before = world.requests('x').length;
    await app.endpoints.enable(id);
    await world.received('x', before + 1);
    expect((await world.admin.query('SELECT FROM baton.webhook_endpoint_states')).rowCount).toBe(0);
  });

  it('that is deleted is not there any more, and what was open is abandoned', async () => {
    world.receiver.answer({ status: 500 });
    await start({ schedule: ['1h'], breakerFailures: 0 });
    const { id } = await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    await world.received('x', 1);
    await app.endpoints.delete(id);
    expect(await app.outbox.send({ type: 'a', data: 2 })).toMatchObject({ state: 'nobody_subscribed' });
    await waitFor(async () => (await states())[0] === 'abandoned', { description: 'the end', timeoutMs: 15_000 });
    for (const call of [
      app.endpoints.get(id),
      app.endpoints.enable(id),
      app.endpoints.update(id, { types: ['a'] }),
      app.endpoints.delete(id),
      app.endpoints.sendTest(id),
    ])
      await expect(call).rejects.toMatchObject({ code: 'ENDPOINT_NOT_FOUND' });
    expect((await app.endpoints.list()).endpoints).toEqual([]);
    expect((await app.endpoints.list({ state: 'deleted' })).endpoints).toMatchObject([{ id, state: 'deleted' }]);
  });

  it('can be tested whatever types it wants, and the others get nothing', async () => {
    await start();
    const endpoint = await world.endpoint(app, 'x', { types: ['never'], tenant: 't' });
    await world.endpoint(app, 'other', { tenant: 't' });
    const test = await app.endpoints.sendTest(endpoint.id, { data: { hello: 1 } });
    const [request] = await world.received('x', 1);
    expect(JSON.parse(String(request!.body))).toMatchObject({ type: 'webhook.test', data: { hello: 1 } });
    expect(world.receiver.verify(request!, endpoint.secret)).toBe(true);
    const deliveries = app.deliveries;
    await waitFor(async () => (await deliveries.get(test.deliveryId)).state === 'delivered', {
      description: 'its end',
    });
    expect(world.requests('other')).toEqual([]);
    await app.endpoints.disable(endpoint.id);
    await expect(app.endpoints.sendTest(endpoint.id)).rejects.toMatchObject({ code: 'ENDPOINT_NOT_ACTIVE' });
    await expect(app.endpoints.sendTest(endpoint.id, { type: 'a b' })).rejects.toMatchObject({ code: 'EVENT_INVALID' });
  });

  it('is tested by way of the queue where there is one', async () => {
    const queue: TestQueue = new TestQueue((message) => app.outbox.deliver(String(message.outboxId)));
    app = await startWithQueue(world, queue);
    const { id } = await world.endpoint(app, 'x');
    const { outboxId } = await app.endpoints.sendTest(id);
    await world.received('x', 1);
    expect(queue.told.map((message) => message.outboxId)).toContain(outboxId);
    await waitFor(async () => (await handOffs(world)).length === 0, { description: 'no hand-off' });
  });
});

describe('the endpoints of a tenant', () => {
  it('are listed in pages, each once, and no others', async () => {
    await start({ role: 'producer' });
    const own = new Set<string>();
    for (let nth = 0; nth < 7; nth++) own.add((await world.endpoint(app, `${nth}`, { tenant: 'a' })).id);
    const other = await world.endpoint(app, 'other', { tenant: 'b' });
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page = await app.endpoints.list({ tenant: 'a' }, { limit: 3, ...(cursor === null ? {} : { cursor }) });
      expect(page.endpoints.length).toBeLessThanOrEqual(3);
      seen.push(...page.endpoints.map(({ id }) => id));
      cursor = page.nextCursor;
    } while (cursor !== null);
    expect(seen).toHaveLength(7);
    expect(new Set(seen)).toEqual(own);
    expect(
      (await app.endpoints.list({ tenant: 'a' }, { cursor: other.id })).endpoints.map(({ tenant }) => tenant),
    ).not.toContain('b');
    expect((await app.endpoints.list()).endpoints).toHaveLength(8);
  });

  it('are as if they did not exist for another', async () => {
    await start({ role: 'producer' });
    const { id, secret: _secret, ...theirs } = await world.endpoint(app, 'x', { tenant: 'b' });
    const scope = { tenant: 'a' };
    for (const call of [
      app.endpoints.get(id, scope),
      app.endpoints.update(id, { types: ['x'] }, scope),
      app.endpoints.disable(id, scope),
      app.endpoints.enable(id, scope),
      app.endpoints.delete(id, scope),
      app.endpoints.sendTest(id, {}, scope),
      app.endpoints.rotateSecret(id, {}, scope),
      app.endpoints.rotateSecret(id, { expireOldAfter: 0 }, scope),
      app.endpoints.revokeSecret(id, theirs.secrets[0]!.id, scope),
      app.endpoints.get('no id'),
    ])
      await expect(call).rejects.toMatchObject({ code: 'ENDPOINT_NOT_FOUND' });
    expect(await app.endpoints.get(id, { tenant: 'b' })).toEqual({ id, ...theirs });
  });

  it('are no more than maxEndpointsPerTenant, also when many are made at once; what is deleted does not count', async () => {
    await start({ role: 'producer', maxEndpointsPerTenant: 3 });
    const other = await world.start({ role: 'producer', maxEndpointsPerTenant: 3 });
    const made = await Promise.allSettled(
      Array.from({ length: 12 }, (_, nth) => world.endpoint(nth % 2 === 0 ? app : other, 'x', { tenant: 'a' })),
    );
    const created = made.flatMap((one) => (one.status === 'fulfilled' ? [one.value.id] : []));
    expect(created).toHaveLength(3);
    for (const one of made)
      if (one.status === 'rejected') expect(one.reason).toMatchObject({ code: 'ENDPOINT_LIMIT', retryable: false });
    await world.endpoint(app, 'x', { tenant: 'b' });
    await app.endpoints.disable(created[0]!);
    await expect(world.endpoint(app, 'x', { tenant: 'a' })).rejects.toMatchObject({ code: 'ENDPOINT_LIMIT' });
    await app.endpoints.delete(created[0]!);
    await world.endpoint(app, 'x', { tenant: 'a' });
  });

  it('are never everybody’s by a tenant that went missing', async () => {
    await start({ role: 'producer' });
    const { id } = await world.endpoint(app, 'x');
    for (const call of [
      app.endpoints.list({ tenant: undefined }),
      app.endpoints.list({ tenat: 'a' } as never),
      app.endpoints.list({ state: 'gone' } as never),
      app.endpoints.list({}, { cursor: "' OR 1=1" }),
      app.endpoints.list({}, { limit: 501 }),
      app.endpoints.get(id, { tenant: undefined }),
      app.endpoints.delete(id, { tenant: undefined }),
    ])
      await expect(call).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
  });
});
