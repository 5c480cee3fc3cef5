import { readFileSync } from 'node:fs';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { waitFor } from '@nest-baton/testing';
import {
  getWebhookOutboxToken,
  WEBHOOK_OUTBOX_METRICS,
  WebhookOutboxModule,
  WebhookOutboxService,
} from '@nest-baton/webhook-outbox';
import { CollectedMetrics } from '../support/collected-metrics.js';
import { metricRows, plainRows } from '../support/documented-metrics.js';
import { subscribeDisabled } from './support/crowd.js';
import { refuse } from './support/gates.js';
import { OutboxWorld, TEST_OPTIONS } from './support/outbox-world.js';

const PREFIX = 'baton.webhook_outbox.';

describe('metrics', () => {
  let points: CollectedMetrics;
  let world: OutboxWorld;

  beforeEach(async () => {
    points = CollectedMetrics.register();
    world = await OutboxWorld.create();
  });

  afterEach(async () => {
    await world.stop();
    await points.unregister();
  });

  it('belong to this version of the package', () => {
    const { name, version } = JSON.parse(readFileSync('libs/webhook-outbox/package.json', 'utf8')) as Record<
      string,
      string
    >;
    expect(WEBHOOK_OUTBOX_METRICS).toMatchObject({ package: name, version });
  });

  it('are in the README, each with a row', () => {
    expect(plainRows('libs/webhook-outbox')).toEqual(expect.arrayContaining(metricRows(WEBHOOK_OUTBOX_METRICS)));
  });

  it('count events by what became of the call', async () => {
    const app = await world.start({ role: 'producer' });
    const { id } = await world.endpoint(app, 'counted', { types: ['thing.*'] });
    const event = { type: 'thing.happened', id: 'same', data: 1 };
    for (const each of [event, event, { type: 'other', data: 1 }]) await app.outbox.send(each);
    await app.endpoints.sendTest(id);
    expect(await points.look()).toMatchObject({
      [`${PREFIX}events.sent default persisted`]: 2,
      [`${PREFIX}events.sent default duplicate`]: 1,
      [`${PREFIX}events.sent default nobody_subscribed`]: 1,
    });
  });

  it('count every terminal state with its reason, and measure requests and delays', async () => {
    world.receiver.answer(({ path }) => ({ status: Number(path.slice(1)) }));
    const app = await world.start({ schedule: ['50ms'] });
    for (const status of [200, 302, 400, 503]) await world.endpoint(app, `${status}`);
    await app.outbox.send({ type: 'thing.happened', data: 1 });
    await world.settled(4);
    await waitFor(() => app.outbox.stats().then(({ relay }) => relay?.unsettled === 0), { description: 'all is told' });
    expect(await points.look()).toMatchObject({
      [`${PREFIX}deliveries.settled default delivered`]: 1,
      [`${PREFIX}deliveries.settled default failed`]: 2,
      [`${PREFIX}deliveries.settled default dead`]: 1,
      [`${PREFIX}deliveries.given_up default redirected`]: 1,
      [`${PREFIX}deliveries.given_up default answered`]: 1,
      [`${PREFIX}deliveries.given_up default exhausted`]: 1,
      [`${PREFIX}request.duration default delivered`]: 1,
      [`${PREFIX}request.duration default failed`]: 2,
      [`${PREFIX}request.duration default retry`]: 2,
      [`${PREFIX}claim.delay default`]: 5,
    });
  });

  it('show and count events whose deliveries relays make', async () => {
    const producer = await world.start({ role: 'producer' });
    await subscribeDisabled(world, 'crowd', 201);
    await producer.outbox.send({ type: 'thing.happened', tenant: 'crowd', data: 1 });
    expect(await points.look()).toMatchObject({ [`${PREFIX}fan_outs.pending default`]: 1 });
    await world.start();
    const pending = async () => (await producer.outbox.stats()).pendingFanOuts;
    await waitFor(async () => (await pending()) === 0, { description: 'all deliveries to be made' });
    await waitFor(async () => (await points.look())[`${PREFIX}fan_outs.completed default`] === 1, {
      description: 'the fan-out to be counted',
    });
    expect(await points.look()).toMatchObject({ [`${PREFIX}fan_outs.pending default`]: 0 });
  });

  it('count whose turn it was, and show keys that wait for somebody', async () => {
    const app = await world.start();
    await world.endpoint(app, 'x', { order: 'strict' });
    world.receiver.answer([{}, { status: 400 }]);
    await app.outbox.sendMany([1, 2, 3].map((data) => ({ type: 'a', data, orderKey: 'k' })));
    await waitFor(async () => (await points.look())[`${PREFIX}lines.halted default`] === 1, {
      description: 'the line to be shown',
    });
    const { told = 0, sweep = 0 } = await points.total(`${PREFIX}deliveries.promoted`, 'default');
    expect(told + sweep).toBe(2);
  });

  it('show what the relay holds and what waits, and count what a shutdown leaves', async () => {
    world.receiver.answer({ instead: 'never' });
    const app = await world.start({ maxInFlight: 1, batchSize: 5, shutdownTimeout: '200ms' });
    await world.endpoint(app, 'hanging');
    for (let i = 0; i < 3; i++) await app.outbox.send({ type: 'thing.happened', data: i });
    await world.received('hanging', 1);
    await waitFor(async () => (await app.outbox.stats()).lagMs > 50, { description: 'a delivery waits for 50 ms' });
    const shown = await points.look();
    expect(shown).toMatchObject({
      [`${PREFIX}requests.in_flight default`]: 1,
      [`${PREFIX}claims.buffered default`]: 0,
      [`${PREFIX}outcomes.unsettled default`]: 0,
    });
    expect(shown[`${PREFIX}lag default`]).toBeGreaterThan(0.04);
    expect(shown[`${PREFIX}lag default`]).toBeLessThan(10);
    await app.close();
    const left = await points.look();
    expect(left).toMatchObject({
      [`${PREFIX}shutdown.left default cut`]: 1,
      [`${PREFIX}request.duration default cut`]: 1,
    });
    expect(Object.keys(left).filter((name) => name.includes('lag') || name.includes('in_flight'))).toEqual([]);
  });

  it('show outcomes that wait to be written, and count leases that are lost meanwhile', async () => {
    const app = await world.start({ lease: '600ms', requestTimeout: '100ms' });
    await world.endpoint(app, 'unwritten');
    const allow = await refuse(world.admin, 'settle');
    await app.outbox.send({ type: 'thing.happened', data: 1 });
    await waitFor(async () => (await points.look())[`${PREFIX}outcomes.unsettled default`] === 1, {
      description: 'an outcome waits',
    });
    await world.admin.query('UPDATE baton.webhook_deliveries SET fence = fence + 1');
    await waitFor(async () => (await points.look())[`${PREFIX}leases.lost default`] === 1, {
      description: 'the loss is counted',
    });
    await allow();
  });

  it('tell instances apart, and end with the application', async () => {
    @Module({
      imports: [
        TypeOrmModule.forRoot({ type: 'postgres', url: world.url, poolSize: 6, retryAttempts: 0 }),
        WebhookOutboxModule.forRoot(TEST_OPTIONS),
        WebhookOutboxModule.forRoot({ ...TEST_OPTIONS, name: 'partners', schema: 'partners' }),
      ],
    })
    class AppModule {}
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false });
    world.closeAtEnd(app);
    await app.get(WebhookOutboxService).send({ type: 'a', data: 1 });
    for (let i = 0; i < 2; i++)
      await app.get<WebhookOutboxService>(getWebhookOutboxToken('partners')).send({ type: 'b', data: 1 });
    expect(await points.look()).toMatchObject({
      [`${PREFIX}events.sent default nobody_subscribed`]: 1,
      [`${PREFIX}events.sent partners nobody_subscribed`]: 2,
      [`${PREFIX}lag default`]: 0,
      [`${PREFIX}lag partners`]: 0,
    });
    await app.close();
    expect(await points.look()).toEqual({});
  });

  it('leave the lag out while the database cannot tell it, and nothing else', async () => {
    await world.start();
    await world.admin.query('ALTER TABLE baton.webhook_endpoints RENAME TO elsewhere');
    const shown = await points.look();
    expect(shown).toMatchObject({ [`${PREFIX}requests.in_flight default`]: 0 });
    expect(shown).not.toHaveProperty([`${PREFIX}lag default`]);
  });

  it('break nothing where no SDK is registered', async () => {
    await points.unregister();
    const app = await world.start();
    await world.endpoint(app, 'unmeasured');
    await app.outbox.send({ type: 'thing.happened', data: 1 });
    await world.settled(1);
    await app.close();
    points = CollectedMetrics.register();
    expect(await points.look()).toEqual({});
  });
});
