import { waitFor } from '@nest-baton/testing';
import type { WebhookOutboxEvents } from '@nest-baton/webhook-outbox';
import { answerBy, arrived, keyed, statesOf } from './lines.js';
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

async function until(...states: string[]): Promise<void> {
  await waitFor(async () => String(await statesOf(world)) === String(states), {
    timeoutMs: 20_000,
    description: states.join(' '),
  });
}

/** Of `n`, as its id. */
async function idOf(n: number): Promise<string> {
  return (await world.deliveries())[n]!.id;
}

describe("what was given up, with onDead: 'halt'", () => {
  it('keeps later events of its key waiting, and of no other; the event, the gauge, the figures and health say so', async () => {
    const halted: WebhookOutboxEvents['lineHalted'][] = [];
    app.outbox.on('lineHalted', (line) => halted.push(line));
    const { id: endpointId } = await world.endpoint(app, 'x', { order: 'strict' });
    answerBy(world, 'x', { 1: { status: 400 } });
    await app.outbox.sendMany([0, 1, 2, 3].map((n) => keyed(n)));
    await app.outbox.send(keyed(2, 'other'));
    await until('delivered', 'failed', 'queued', 'queued', 'delivered');
    await waitFor(() => halted.length > 0, { description: 'the event' });
    expect(halted).toEqual([{ endpointId, orderKey: 'k', deliveryId: await idOf(1) }]);
    await waitFor(async () => (await app.outbox.stats()).haltedLines === 1, { description: 'the figure' });
    expect(await app.outbox.health()).toMatchObject({ state: 'up', haltedLines: 1 });
    expect((await app.outbox.stats()).byState).toMatchObject({ queued: 2, failed: 1 });
    await app.outbox.send(keyed(4));
    await app.dataSource.query('SELECT pg_sleep(1.2)');
    expect(arrived(world, 'x')).toEqual([0, 1]);
    expect(halted).toHaveLength(1);
  });

  it('is dead after its schedule, and goes on with a replay, which is sent before what waits', async () => {
    await world.endpoint(app, 'x', { order: 'strict', schedule: ['20ms'] });
    answerBy(world, 'x', { 0: { status: 503 } });
    await app.outbox.sendMany([0, 1, 2].map((n) => keyed(n)));
    await until('dead', 'queued', 'queued');
    answerBy(world, 'x', {});
    expect(await deliveries.get(await idOf(1))).toMatchObject({ state: 'queued', orderKey: 'k', settledAt: null });
    await expect(deliveries.replay(await idOf(1))).rejects.toMatchObject({ code: 'DELIVERY_STATE', state: 'queued' });
    expect(await deliveries.replay(await idOf(0))).toMatchObject({ state: 'queued', orderKey: 'k' });
    await until('delivered', 'delivered', 'delivered');
    expect(arrived(world, 'x')).toEqual([0, 0, 0, 1, 2]);
    await waitFor(async () => (await app.outbox.stats()).haltedLines === 0, { description: 'nothing halted' });
    expect(await app.outbox.health()).not.toHaveProperty('haltedLines');
  });

  it('goes on when it is abandoned, alone or by a filter that asks for it; what is over elsewhere cannot be', async () => {
    await world.endpoint(app, 'x', { order: 'strict' });
    const plain = await world.endpoint(app, 'y');
    answerBy(world, 'x', { 0: { status: 400 }, 2: { status: 400 } });
    answerBy(world, 'y', { 0: { status: 400 } });
    await app.outbox.send(keyed(0));
    await app.outbox.send(keyed(1));
    await app.outbox.sendMany([2, 3].map((n) => keyed(n)));
    await waitFor(async () => (await world.settled(5)).length === 5, { description: 'all of y' });
    const [failed] = (await deliveries.list({ state: 'failed' })).deliveries.filter(({ orderKey }) => orderKey === 'k');
    const [other] = (await deliveries.list({ endpointId: plain.id, state: 'failed' })).deliveries;
    await expect(deliveries.abandon(other!.id)).rejects.toMatchObject({ code: 'DELIVERY_STATE', state: 'failed' });
    expect(await deliveries.abandon({ type: 'b' })).toBe(0);
    expect(await deliveries.abandon(failed!.id)).toBe(1);
    await waitFor(() => arrived(world, 'x').length === 3, { description: 'two more' });
    await waitFor(async () => (await deliveries.list({ state: 'failed' })).deliveries.length === 2, {
      description: 'failed',
    });
    expect(await deliveries.abandon({ type: 'a', state: ['failed', 'dead'] })).toBe(1);
    await waitFor(() => arrived(world, 'x').length === 4, { description: 'the last' });
    expect(arrived(world, 'x')).toEqual([0, 1, 2, 3]);
  });

  it('goes on when the endpoint is changed to skip', async () => {
    const { id } = await world.endpoint(app, 'x', { order: 'strict' });
    answerBy(world, 'x', { 0: { status: 400 } });
    await app.outbox.sendMany([0, 1].map((n) => keyed(n)));
    await until('failed', 'queued');
    await app.endpoints.update(id, { onDead: 'skip' });
    await until('failed', 'delivered');
  });

  it('stays for as long as something waits for it, whatever its retention', async () => {
    await world.endpoint(app, 'x', { order: 'strict' });
    answerBy(world, 'x', { 0: { status: 400 }, 1: { status: 400 } });
    await app.outbox.sendMany([keyed(0), keyed(1), keyed(0, 'other')]);
    await until('failed', 'queued', 'failed');
    await app.close();
    await world.admin.query(
      `UPDATE baton.webhook_deliveries SET settled_at = now() - interval '31 d' WHERE settled_at IS NOT NULL`,
    );
    await world.admin.query(`UPDATE baton.webhook_events SET created_at = now() - interval '31 d'`);
    const cleaning = await world.start({ cleanupInterval: '100ms' });
    const lines = async () =>
      (await world.admin.query<{ order_key: string }>('SELECT order_key FROM baton.webhook_lines')).rows;
    await waitFor(async () => String(await statesOf(world)) === 'failed,queued', {
      description: 'the other to be removed',
    });
    await waitFor(async () => (await lines()).length === 1, { description: 'the line of the other to be removed' });
    await cleaning.deliveries.abandon(await idOf(0));
    await until('abandoned', 'failed');
    await world.admin.query(
      `UPDATE baton.webhook_deliveries SET settled_at = now() - interval '31 d' WHERE settled_at IS NOT NULL`,
    );
    await waitFor(async () => (await lines()).length === 0, { description: 'everything to be removed' });
    await cleaning.outbox.send(keyed(2));
    await waitFor(() => arrived(world, 'x').includes(2), { description: 'a new line' });
  });
});

describe("what was given up, with onDead: 'skip'", () => {
  it('keeps nobody waiting; a replay of it goes before what waits then', async () => {
    await world.endpoint(app, 'x', { order: 'strict', onDead: 'skip' });
    answerBy(world, 'x', { 0: { status: 400 }, 2: { delayMs: 600 } });
    await app.outbox.sendMany([0, 1].map((n) => keyed(n)));
    await until('failed', 'delivered');
    answerBy(world, 'x', { 2: { delayMs: 600 } });
    await app.outbox.sendMany([2, 3].map((n) => keyed(n)));
    await waitFor(() => arrived(world, 'x').includes(2), { description: 'the slow one' });
    expect(await deliveries.replay(await idOf(0))).toMatchObject({ state: 'queued' });
    await until('delivered', 'delivered', 'delivered', 'delivered');
    expect(arrived(world, 'x')).toEqual([0, 1, 2, 0, 3]);
    expect(world.receiver.maxConcurrentRequests).toBe(1);
  });

  it('goes on after a delivery that crashes its process, which is dead after ten losses', async () => {
    await world.endpoint(app, 'x', { order: 'strict', onDead: 'skip' });
    await app.close();
    const producer = await world.start({ role: 'producer' });
    await producer.outbox.sendMany([0, 1].map((n) => keyed(n)));
    await waitFor(async () => (await statesOf(world)).length === 2, {
      description: 'both',
    });
    await world.admin.query(
      `UPDATE baton.webhook_deliveries SET state = 'leased', lease_until = now() - interval '1 s', fence = 1, lease_losses = 9, attempts = 1 WHERE seq = 1`,
    );
    await world.start();
    await until('dead', 'delivered');
    expect(arrived(world, 'x')).toEqual([1]);
  });
});

describe('an endpoint with an order that is off', () => {
  it('has what waits parked, and sends it in order after a replay; until then nothing later', async () => {
    const { id } = await world.endpoint(app, 'x', { order: 'strict' });
    world.receiver.answerWhere({ path: '/x' }, [{ status: 500 }, {}]);
    await app.outbox.sendMany([0, 1, 2].map((n) => keyed(n)));
    await world.received('x', 1);
    await app.endpoints.disable(id);
    await until('parked', 'parked', 'parked');
    await app.outbox.send(keyed(3));
    await app.endpoints.enable(id);
    await app.outbox.send(keyed(4));
    await app.dataSource.query('SELECT pg_sleep(1.2)');
    await until('parked', 'parked', 'parked', 'parked', 'queued');
    expect(arrived(world, 'x')).toEqual([0]);
    expect(await deliveries.replayMany({ filter: { endpointId: id, state: 'parked' } })).toMatchObject({ replayed: 4 });
    await until('delivered', 'delivered', 'delivered', 'delivered', 'delivered');
    expect(arrived(world, 'x')).toEqual([0, 0, 1, 2, 3, 4]);
  });

  it('has it parked after a 410, and abandoned when it is deleted', async () => {
    const { id } = await world.endpoint(app, 'x', { order: 'strict' });
    answerBy(world, 'x', { 0: { status: 410 } });
    await app.outbox.sendMany([0, 1, 2].map((n) => keyed(n)));
    await until('failed', 'parked', 'parked');
    await app.endpoints.delete(id);
    await until('failed', 'abandoned', 'abandoned');
    expect(arrived(world, 'x')).toEqual([0]);
  });

  it('sends nothing while it is left alone, and goes on in order', async () => {
    await world.endpoint(app, 'x', { order: 'strict' });
    world.receiver.answerWhere({ path: '/x' }, [{ status: 503, headers: { 'retry-after': '1' } }, {}]);
    await app.outbox.sendMany([0, 1, 2].map((n) => keyed(n)));
    await world.settled(3);
    expect(arrived(world, 'x')).toEqual([0, 0, 1, 2]);
    const [first, second] = world.requests('x');
    expect(second!.receivedAt - first!.receivedAt).toBeGreaterThanOrEqual(900);
  });

  it('does not send what was abandoned while it waited', async () => {
    await world.endpoint(app, 'x', { order: 'strict' });
    answerBy(world, 'x', { 0: { delayMs: 500 } });
    await app.outbox.sendMany([0, 1, 2].map((n) => keyed(n)));
    await world.received('x', 1);
    expect(await deliveries.abandon(await idOf(1))).toBe(1);
    await until('delivered', 'abandoned', 'delivered');
    expect(arrived(world, 'x')).toEqual([0, 2]);
  });
});
