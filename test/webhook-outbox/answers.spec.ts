import type { DeadDelivery } from '@nest-baton/webhook-outbox';
import { waitFor } from '@nest-baton/testing';
import { header, OutboxWorld } from './support/outbox-world.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

describe('a receiver that does not say 2xx at once', () => {
  it('gets the same id and bytes again, with a fresh timestamp and a valid signature', async () => {
    world.receiver.answer([{ status: 503 }]);
    const app = await world.start({ schedule: ['1200ms'] });
    const { secret } = await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: { n: 1 } });
    const [first, second] = await world.received('x', 2);
    expect(header(second!, 'webhook-id')).toBe(header(first!, 'webhook-id'));
    expect(second!.body.equals(first!.body)).toBe(true);
    expect(Number(header(second!, 'webhook-timestamp'))).toBeGreaterThan(Number(header(first!, 'webhook-timestamp')));
    for (const request of [first!, second!]) expect(world.receiver.verify(request, secret)).toBe(true);
    expect(second!.receivedAt - first!.receivedAt).toBeGreaterThanOrEqual(0.8 * 1200);
    const [row] = await world.settled(1);
    expect(row).toMatchObject({ state: 'delivered', attempts: 2, last_outcome: 'delivered', last_status: 204 });
  });

  it('is left alone for as long as its Retry-After asks', async () => {
    world.receiver.answer([{ status: 429, headers: { 'retry-after': '1' } }]);
    const app = await world.start();
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    const [first, second] = await world.received('x', 2);
    expect(second!.receivedAt - first!.receivedAt).toBeGreaterThanOrEqual(1_000);
  });

  it.each([400, 404, 410, 302])('is not asked again after %i: the delivery has failed', async (status) => {
    const target = `${world.receiver.url}inside`;
    world.receiver.answer([{ status, headers: { location: target }, body: 'no\u0000 \u001b[31mthanks' }]);
    const app = await world.start();
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    const [row] = await world.settled(1);
    expect(row).toMatchObject({ state: 'failed', attempts: 1, last_status: status, last_error: 'no   [31mthanks' });
    expect(world.receiver.requests).toHaveLength(1);
  });

  it('may answer bytes that are no UTF-8: they are stored as far as they are text, and the delivery settles', async () => {
    const body = Buffer.from([0x6e, 0x6f, 0xff, 0xfe, 0x00, 0x1b, 0xc3, 0x28, 0xe2, 0x82]);
    world.receiver.answer([{ status: 400, headers: { 'content-type': 'text/plain; charset=utf-8' }, body }]);
    const app = await world.start();
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    const [row] = await world.settled(1);
    expect(row).toMatchObject({ state: 'failed', attempts: 1, last_error: 'no\ufffd\ufffd \ufffd(\ufffd' });
  });

  it('is asked again alone: the other endpoint of the event gets it once', async () => {
    let refusals = 1;
    world.receiver.answer(({ path }) => (path === '/shaky' && refusals-- > 0 ? { status: 500 } : {}));
    const app = await world.start();
    await world.endpoint(app, 'shaky');
    await world.endpoint(app, 'steady');
    expect(await app.outbox.send({ type: 'a', data: 1 })).toMatchObject({ deliveries: 2 });
    const rows = await world.settled(2);
    expect(rows.map(({ state, attempts }) => [state, attempts]).sort()).toEqual([
      ['delivered', 1],
      ['delivered', 2],
    ]);
    expect([world.requests('shaky').length, world.requests('steady').length]).toEqual([2, 1]);
  });

  it('is given up after the schedule, told to onDead and listeners after the row says so', async () => {
    world.receiver.answer(() => ({ status: 500, body: 'broken' }));
    const dead: DeadDelivery[] = [];
    const heard: string[] = [];
    const app = await world.start({
      onDead: (delivery) => {
        dead.push(delivery);
        throw new Error('thrown by the test');
      },
    });
    app.outbox.on('retry', ({ attempts }) => heard.push(`retry ${attempts}`));
    app.outbox.on('dead', ({ attempts }) => heard.push(`dead ${attempts}`));
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', id: 'mine', data: 1 });
    await waitFor(() => dead.length === 1, { description: 'onDead' });
    expect(dead[0]).toMatchObject({ eventId: 'mine', attempts: 3, reason: 'exhausted', status: 500, error: 'broken' });
    expect(heard).toEqual(['retry 1', 'retry 2', 'dead 3']);
    expect(await world.deliveries()).toMatchObject([{ state: 'dead', attempts: 3, reason: 'exhausted' }]);
    expect((await app.outbox.stats()).byState).toMatchObject({ ready: 0, leased: 0, delivered: 0, failed: 0, dead: 1 });
    expect(world.requests('x')).toHaveLength(3);
  });

  it('is retried after a reset connection and after silence', async () => {
    world.receiver.answer([{ instead: 'reset' }, { instead: 'never' }]);
    const app = await world.start({ requestTimeout: '300ms', lease: '2s' });
    const reasons: string[] = [];
    app.outbox.on('retry', ({ reason }) => reasons.push(reason));
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    await world.settled(1);
    expect(reasons).toEqual(['network', 'timeout']);
    expect(await world.deliveries()).toMatchObject([{ state: 'delivered', attempts: 3 }]);
  });

  it('does not keep others waiting while it is slow', async () => {
    world.receiver.answer((request) => (request.path === '/slow' ? { instead: 'never' } : {}));
    const app = await world.start({ requestTimeout: '5s', lease: '8s', maxInFlight: 4 });
    await world.endpoint(app, 'slow', { types: ['slow', 'both'] });
    await world.endpoint(app, 'quick', { types: ['quick', 'both'] });
    for (let i = 0; i < 150; i++) await app.outbox.send({ type: 'slow', data: i });
    for (let i = 0; i < 50; i++) await app.outbox.send({ type: 'both', data: i });
    await world.received('quick', 50, 4_000);
    expect(world.requests('slow').length).toBe(4);
  });

  it('finds what no hint announced', async () => {
    const app = await world.start({ hints: 'off' });
    await world.endpoint(app, 'x');
    for (let i = 0; i < 5; i++) await app.outbox.send({ type: 'a', data: i });
    await world.settled(5);
    expect(world.requests('x')).toHaveLength(5);
  });
});
