import { waitFor } from '@nest-baton/testing';
import type { CreatedEndpoint, WebhookOutboxOptions } from '@nest-baton/webhook-outbox';
import { StatementGate } from './support/gates.js';
import { header, type OutboxApp, OutboxWorld, TEST_KEYS } from './support/outbox-world.js';

let world: OutboxWorld;
let app: OutboxApp;

async function start(options: WebhookOutboxOptions = {}): Promise<OutboxApp> {
  return (app = await world.start({ breakerFailures: 0, schedule: ['50ms'], ...options }));
}

beforeEach(async () => {
  world = await OutboxWorld.create();
});
afterEach(() => world.stop());

/** One delivery, whose claim is held while `change` is made and committed: what it brings along of the endpoint is from before. */
async function claimedBefore(change: (endpoint: CreatedEndpoint) => Promise<unknown>): Promise<CreatedEndpoint> {
  const endpoint = await world.endpoint(app, 'old');
  // Opened and kept in memory by the relay.
  await app.outbox.send({ type: 'a', data: 0 });
  await world.received('old', 1);
  await world.settled(1);
  const gate = await StatementGate.close(world.admin, 'claim');
  await app.outbox.send({ type: 'a', data: 1 });
  await waitFor(() => gate.isReached(), { description: 'the claim to be held' });
  await change(endpoint);
  await gate.open();
  return endpoint;
}

describe('a delivery that was claimed before', () => {
  it('a secret was revoked is not signed with it', async () => {
    await start();
    let newest = '';
    const first = await claimedBefore(async ({ id, secrets }) => {
      newest = (await app.endpoints.rotateSecret(id)).secret;
      await app.endpoints.revokeSecret(id, secrets[0]!.id);
    });
    const request = (await world.received('old', 2))[1]!;
    expect(header(request, 'webhook-signature').split(' ')).toHaveLength(1);
    expect(world.receiver.verify(request, newest)).toBe(true);
    expect(world.receiver.verify(request, first.secret)).toBe(false);
  });

  it('a secret was rotated with no time to expire is not signed with the old one', async () => {
    await start();
    let newest = '';
    const first = await claimedBefore(async ({ id }) => {
      newest = (await app.endpoints.rotateSecret(id, { expireOldAfter: 0 })).secret;
    });
    const request = (await world.received('old', 2))[1]!;
    expect(world.receiver.verify(request, newest)).toBe(true);
    expect(world.receiver.verify(request, first.secret)).toBe(false);
  });

  it('its endpoint was edited goes where it is now, with the headers of now', async () => {
    await start();
    await claimedBefore(({ id }) =>
      app.endpoints.update(id, { url: `${world.receiver.url}new`, headers: { 'x-to': 'new' } }),
    );
    const [request] = await world.received('new', 1);
    expect(header(request!, 'x-to')).toBe('new');
    expect(world.requests('old')).toHaveLength(1);
  });

  it.each([
    ['disabled', 'parked'],
    ['deleted', 'abandoned'],
  ] as const)('its endpoint was %s is not sent, counts no attempt, and is %s', async (how, state) => {
    await start();
    await claimedBefore(({ id }) => (how === 'disabled' ? app.endpoints.disable(id) : app.endpoints.delete(id)));
    await waitFor(async () => (await world.deliveries())[1]?.state === state, {
      description: state,
      timeoutMs: 15_000,
    });
    expect(await world.deliveries()).toMatchObject([{ state: 'delivered' }, { state, attempts: 0 }]);
    expect(world.requests('old')).toHaveLength(1);
  });

  it('its secret was sealed with a key that this process has not: waits unsigned nowhere, and counts no attempt', async () => {
    await start();
    const unusable: string[] = [];
    app.outbox.on('endpointUnusable', ({ endpointId }) => unusable.push(endpointId));
    const keys = [{ id: 'newer', key: Buffer.alloc(32, 9).toString('base64') }, ...TEST_KEYS];
    const other = await world.start({ role: 'producer', keys });
    let newest = '';
    const { id } = await claimedBefore(async (endpoint) => {
      newest = (await other.endpoints.rotateSecret(endpoint.id, { expireOldAfter: 0 })).secret;
    });
    await waitFor(() => unusable.length > 0, { description: 'the endpoint that cannot be signed for' });
    await waitFor(async () => (await world.deliveries())[1]?.state === 'ready', {
      description: 'the claim handed back',
    });
    expect(unusable).toEqual([id]);
    expect(await world.deliveries()).toMatchObject([{}, { state: 'ready', attempts: 0, lease_losses: 0 }]);
    expect(world.requests('old')).toHaveLength(1);
    await expect(world.start()).rejects.toMatchObject({ code: 'KEY_RING_INVALID' });
    await world.start({ keys });
    expect(world.receiver.verify((await world.received('old', 2))[1]!, newest)).toBe(true);
  });
});

describe('a secret that is rotated while a request runs', () => {
  it('signs the next attempt beside the new one, under the same id', async () => {
    world.receiver.answer(({ attempt }) => ({
      status: attempt === 1 ? 503 : 204,
      ...(attempt === 1 ? { delayMs: 500 } : {}),
    }));
    await start();
    const first = await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    await world.received('x', 1);
    const second = await app.endpoints.rotateSecret(first.id);
    const [before, after] = await world.received('x', 2);
    expect(header(after!, 'webhook-id')).toBe(header(before!, 'webhook-id'));
    expect([first, second].map(({ secret }) => world.receiver.verify(before!, secret))).toEqual([true, false]);
    // Whoever knows the old one, the new one, or both.
    for (const secrets of [first.secret, second.secret, [first.secret, second.secret]])
      expect(world.receiver.verify(after!, secrets)).toBe(true);
    await world.settled(1);
  });
});
