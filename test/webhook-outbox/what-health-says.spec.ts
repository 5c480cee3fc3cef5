import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { HealthIndicatorService } from '@nestjs/terminus';
import { TypeOrmModule } from '@nestjs/typeorm';
import { waitFor } from '@nest-baton/testing';
import { WebhookOutboxModule, WebhookOutboxService } from '@nest-baton/webhook-outbox';
import { WebhookOutboxHealthIndicator, WebhookOutboxHealthModule } from '@nest-baton/webhook-outbox/health';
import { refuse } from './support/gates.js';
import { OutboxWorld, TEST_OPTIONS } from './support/outbox-world.js';

describe('what health says', () => {
  let world: OutboxWorld;

  beforeEach(async () => (world = await OutboxWorld.create()));
  afterEach(() => world.stop());

  it('is up while the relay looks for work, and where none should run', async () => {
    const [relay, producer] = [await world.start(), await world.start({ role: 'producer' })];
    expect(await relay.outbox.health()).toEqual({ state: 'up', mode: 'polling', lagMs: 0 });
    expect(await producer.outbox.health()).toEqual({ state: 'up', mode: 'producing', lagMs: 0 });
  });

  it('stays up whatever receivers do: fail, hang, or answer now and then', async () => {
    world.receiver.answer((_request, nth) =>
      nth % 3 === 0 ? { instead: 'never' } : { status: nth % 3 === 1 ? 500 : 200 },
    );
    const app = await world.start({ requestTimeout: '150ms', lease: '1s', maxInFlight: 2 });
    await world.endpoint(app, 'flapping');
    for (let i = 0; i < 12; i++) await app.outbox.send({ type: 'thing.happened', data: { i } });
    const seen = new Set<string>();
    await waitFor(
      async () => {
        seen.add((await app.outbox.health()).state);
        return (await world.deliveries()).every(({ settled_at }) => settled_at !== null);
      },
      { description: 'every delivery settled', timeoutMs: 15_000 },
    );
    expect([...seen]).toEqual(['up']);
  });

  it('tells the lag of what nobody claims', async () => {
    const app = await world.start({ role: 'producer' });
    await world.endpoint(app, 'later');
    await app.outbox.send({ type: 'thing.happened', data: 1 });
    await waitFor(
      async () => {
        const health = await app.outbox.health();
        return health.state === 'up' && health.lagMs >= 50;
      },
      { description: 'the delivery is due for 50 ms' },
    );
  });

  it('is down while the database refuses the question, and up again afterwards', async () => {
    const app = await world.start();
    await world.admin.query('ALTER TABLE baton.webhook_deliveries RENAME TO elsewhere');
    expect(await app.outbox.health()).toMatchObject({
      state: 'down',
      reason: 'database',
      message: expect.stringContaining('does not exist'),
    });
    await world.admin.query('ALTER TABLE baton.elsewhere RENAME TO webhook_deliveries');
    // The relay may have found out too, and says so until its next claim.
    await waitFor(async () => (await app.outbox.health()).state === 'up', { description: 'health to be up again' });
  });

  it('is down when the database does not answer within 3 s, and asks no second time meanwhile', async () => {
    const app = await world.start({ role: 'producer' });
    const holder = await world.admin.connect();
    await holder.query('BEGIN; LOCK TABLE baton.webhook_deliveries');
    const both = await Promise.all([app.outbox.health(), app.outbox.health()]);
    for (const health of both) expect(health).toMatchObject({ state: 'down', message: 'no answer within 3000 ms' });
    const { rows } = await world.admin.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    );
    expect(rows[0]?.n).toBe(1);
    await holder.query('COMMIT');
    holder.release();
    await waitFor(async () => (await app.outbox.health()).state === 'up', { description: 'health is up' });
  });

  it('is degraded while outcomes cannot be written', async () => {
    const app = await world.start();
    await world.endpoint(app, 'written-later');
    const allow = await refuse(world.admin, 'settle');
    await app.outbox.send({ type: 'thing.happened', data: 1 });
    await waitFor(async () => (await app.outbox.health()).state === 'degraded', { description: 'health is degraded' });
    expect(await app.outbox.health()).toMatchObject({ reason: 'writes_failing', lagMs: 0 });
    await allow();
    await world.settled(1);
    await waitFor(async () => (await app.outbox.health()).state === 'up', { description: 'health is up' });
  });

  it('is degraded while attempts cannot be counted, so nothing is sent', async () => {
    const app = await world.start();
    await world.endpoint(app, 'counted-later');
    const allow = await refuse(world.admin, 'claim');
    await app.outbox.send({ type: 'thing.happened', data: 1 });
    await waitFor(async () => (await app.outbox.health()).state === 'degraded', { description: 'health is degraded' });
    await allow();
    await world.received('counted-later', 1);
  });

  it('is down once the relay has stopped, while requests may still be running', async () => {
    const app = await world.start();
    await app.outbox.beforeApplicationShutdown();
    expect(await app.outbox.health()).toMatchObject({ state: 'down', reason: 'relay_stopped' });
  });

  it('is down, and does not throw, after the application has closed', async () => {
    const app = await world.start();
    await app.close();
    expect(await app.outbox.health()).toMatchObject({ state: 'down', reason: 'closed' });
  });
});

describe('the health indicator', () => {
  it('speaks for the instance that is named, also to a Terminus that knows no degraded', async () => {
    const world = await OutboxWorld.create();
    @Module({
      imports: [
        TypeOrmModule.forRoot({ type: 'postgres', url: world.url, poolSize: 6, retryAttempts: 0 }),
        WebhookOutboxModule.forRoot(TEST_OPTIONS),
        WebhookOutboxModule.forRoot({ ...TEST_OPTIONS, name: 'partners', schema: 'partners', role: 'producer' }),
        WebhookOutboxHealthModule,
      ],
    })
    class AppModule {}
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false });
    world.closeAtEnd(app);
    const indicator = app.get(WebhookOutboxHealthIndicator, { strict: false });
    expect(await indicator.isHealthy()).toEqual({ 'webhook-outbox': { status: 'up', mode: 'polling', lagMs: 0 } });
    expect(await indicator.isHealthy('partners', { name: 'partners' })).toEqual({
      partners: { status: 'up', mode: 'producing', lagMs: 0 },
    });

    await app.get(WebhookOutboxService).beforeApplicationShutdown();
    expect(await indicator.isHealthy('hooks')).toMatchObject({ hooks: { status: 'down', reason: 'relay_stopped' } });

    const real = app.get(HealthIndicatorService, { strict: false });
    const degraded = { state: 'degraded', reason: 'listener_lost', message: 'LISTEN was lost', lagMs: 3 };
    const service = { get: () => ({ health: () => Promise.resolve(degraded) }) } as never;
    const newer = new WebhookOutboxHealthIndicator(real, service);
    expect(await newer.isHealthy('hooks')).toMatchObject({ hooks: { status: 'degraded', reason: 'listener_lost' } });
    const withoutDegraded = { check: (key: string) => Object.assign(real.check(key), { degraded: undefined }) };
    const older = new WebhookOutboxHealthIndicator(withoutDegraded as never, service);
    expect(await older.isHealthy('hooks')).toMatchObject({ hooks: { status: 'up', degraded: true, lagMs: 3 } });
    await world.stop();
  });
});
