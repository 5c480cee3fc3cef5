import { jest } from '@jest/globals';
import { Logger, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import { StallMeter, waitFor } from '@nest-baton/testing';
import {
  getWebhookEndpointsToken,
  getWebhookOutboxToken,
  OutboxDelivery,
  OutboxEvent,
  WebhookEndpoint,
  webhookOutboxEntities,
  WebhookEndpointsService,
  WebhookOutboxModule,
  WebhookOutboxService,
} from '@nest-baton/webhook-outbox';
import { DataSource, type EntitySchema } from 'typeorm';
import { StatementGate } from './support/gates.js';
import { OutboxWorld, TEST_OPTIONS } from './support/outbox-world.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

describe('stopping', () => {
  it('lets requests in flight end, writes their outcomes, and hands back the rest unchanged', async () => {
    world.receiver.answer(() => ({ delayMs: 400 }));
    const app = await world.start({ maxInFlight: 3 });
    await world.endpoint(app, 'x');
    for (let i = 0; i < 10; i++) await app.outbox.send({ type: 'a', data: i });
    await world.received('x', 3);
    await app.close();
    const rows = await world.deliveries();
    const sent = world.requests('x').length;
    expect(rows.filter(({ state }) => state === 'delivered')).toHaveLength(sent);
    expect(rows.filter(({ state, attempts }) => state === 'ready' && attempts === 0)).toHaveLength(10 - sent);
    await expect(app.outbox.send({ type: 'a', data: 1 })).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  });

  it('ends within shutdownTimeout although a receiver never answers, and hands the delivery back as started', async () => {
    world.receiver.answer(() => ({ instead: 'never' }));
    const app = await world.start({ shutdownTimeout: '500ms' });
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    await world.received('x', 1);
    const stalls = StallMeter.start();
    const before = performance.now();
    await app.close();
    expect(performance.now() - before).toBeLessThan(2_000 + stalls.stop());
    expect(await world.deliveries()).toMatchObject([
      { state: 'ready', attempts: 1, lease_losses: 0, last_outcome: 'unknown' },
    ]);
  });

  it('ends although the database answers no statement', async () => {
    const app = await world.start({ shutdownTimeout: '500ms', cleanupInterval: '10ms' });
    await world.endpoint(app, 'x');
    const blocker = await world.admin.connect();
    await blocker.query('BEGIN');
    await blocker.query('LOCK TABLE baton.webhook_deliveries IN ACCESS EXCLUSIVE MODE');
    await waitFor(
      async () =>
        (
          await world.admin.query(
            `SELECT FROM pg_locks JOIN pg_database d ON d.oid = database
              WHERE NOT granted AND relation IS NOT NULL AND datname = current_database()`,
          )
        ).rowCount! >= 2,
      { description: 'the poll and the cleanup to wait for the lock' },
    );
    const before = performance.now();
    await app.outbox.beforeApplicationShutdown();
    expect(performance.now() - before).toBeGreaterThan(400);
    expect(performance.now() - before).toBeLessThan(10_000);
    await blocker.query('ROLLBACK');
    blocker.release();
    await app.close();
  });

  it('says nothing more once it has told what it left, although a hand-back fails after that', async () => {
    world.receiver.answer(() => ({ instead: 'never' }));
    const app = await world.start({ shutdownTimeout: '200ms' });
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    await world.received('x', 1);
    const gate = await StatementGate.close(world.admin, 'release');
    const logged: unknown[] = [];
    const warn = jest
      .spyOn(Logger.prototype, 'warn')
      .mockImplementation((...words: unknown[]) => void logged.push(words[0]));
    try {
      const closing = app.close();
      await waitFor(() => logged.length > 0, { description: 'the report' });
      expect(await gate.isReached()).toBe(true);
      await gate.endHeldStatements();
      await closing;
      expect(logged).toEqual(['the relay has stopped']);
    } finally {
      warn.mockRestore();
      await gate.open();
    }
  });

  it.each(['before', 'after'])('writes outcomes also when TypeORM was imported %s it', async (order) => {
    world.receiver.answer(() => ({ delayMs: 300 }));
    const typeOrm = TypeOrmModule.forRoot({ type: 'postgres', url: world.url, retryAttempts: 0 });
    const outbox = WebhookOutboxModule.forRoot(TEST_OPTIONS);
    @Module({ imports: order === 'before' ? [typeOrm, outbox] : [outbox, typeOrm] })
    class AppModule {}
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
    world.closeAtEnd(app);
    await app.get(WebhookEndpointsService).create({ url: `${world.receiver.url}x` });
    await app.get(WebhookOutboxService).send({ type: 'a', data: 1 });
    await world.received('x', 1);
    await app.close();
    expect(await world.deliveries()).toMatchObject([{ state: 'delivered' }]);
  });
});

describe('starting', () => {
  it('fails when the key ring cannot open a stored secret, where webhooks are sent', async () => {
    const app = await world.start();
    await world.endpoint(app, 'x');
    await app.close();
    const keys = [{ id: 'test', key: Buffer.alloc(32, 8).toString('base64') }];
    await expect(world.start({ keys })).rejects.toMatchObject({ code: 'KEY_RING_INVALID' });
    await world.start({ keys, role: 'producer' });
  });

  it('sends to others, and burns no attempt, when a secret that does not open appears later', async () => {
    const app = await world.start();
    const stranger = await world.start({
      role: 'producer',
      keys: [{ id: 'k2', key: Buffer.alloc(32, 9).toString('base64') }],
    });
    const unusable: string[] = [];
    app.outbox.on('endpointUnusable', ({ endpointId }) => unusable.push(endpointId));
    const { id } = await world.endpoint(stranger, 'closed');
    await world.endpoint(app, 'open');
    await app.outbox.send({ type: 'a', data: 1 });
    await world.received('open', 1);
    await waitFor(() => unusable.length > 0, { description: 'the endpoint to be told unusable' });
    await app.dataSource.query('SELECT pg_sleep(0.4)');
    expect(unusable).toEqual([id]);
    expect(world.requests('closed')).toHaveLength(0);
    const waiting = (await world.deliveries()).filter(({ state }) => state === 'ready');
    expect(waiting).toMatchObject([{ attempts: 0, lease_losses: 0 }]);
  });

  it('migrates once although several processes start at the same time; verify refuses an empty schema', async () => {
    await expect(world.start({ migrations: 'verify' })).rejects.toMatchObject({ code: 'MIGRATIONS_PENDING' });
    await Promise.all([world.start(), world.start(), world.start({ role: 'producer' })]);
    const { rows } = await world.admin.query('SELECT name FROM baton.webhook_outbox_migrations');
    expect(rows).toHaveLength(1);
    await world.start({ migrations: 'verify' });
  });

  it('makes tables that do not differ from the entities', async () => {
    const app = await world.start();
    const entities = webhookOutboxEntities();
    for (const entity of entities) entity.options.synchronize = true;
    const throwaway = await new DataSource({
      type: 'postgres',
      url: world.url,
      schema: 'baton',
      entities,
    }).initialize();
    const log = await throwaway.driver.createSchemaBuilder().log();
    await throwaway.destroy();
    expect(log.upQueries.map(({ query }) => query)).toEqual([]);
    await app.close();
  });

  it('lets users read through repositories, and their synchronize alters nothing', async () => {
    const app = await world.start();
    await world.endpoint(app, 'x');
    const { outboxId } = await app.outbox.send({ type: 'a', id: 'one', data: 1 });
    await world.settled(1);
    const entities: EntitySchema[] = webhookOutboxEntities({ schema: 'baton' });
    const theirs = await new DataSource({ type: 'postgres', url: world.url, entities, synchronize: true }).initialize();
    const event = await theirs.getRepository(OutboxEvent).findOneByOrFail({ dedupeKey: 'one' });
    expect(event).toMatchObject({ id: outboxId, type: 'a', tenant: '' });
    const [delivery] = await theirs.getRepository(OutboxDelivery).findBy({ eventId: event.id });
    expect(delivery).toMatchObject({ state: 'delivered', attempts: 1 });
    const [endpoint] = await theirs.getRepository(WebhookEndpoint).find();
    expect(endpoint).toMatchObject({ id: delivery?.endpointId, types: ['*'], state: 'active' });
    await theirs.destroy();
  });

  it('runs two instances on two DataSources, each poll in the schedule', async () => {
    @Module({
      imports: [
        ScheduleModule.forRoot(),
        TypeOrmModule.forRoot({ type: 'postgres', url: world.url, retryAttempts: 0 }),
        TypeOrmModule.forRoot({ type: 'postgres', name: 'second', url: world.url, retryAttempts: 0 }),
        WebhookOutboxModule.forRoot(TEST_OPTIONS),
        WebhookOutboxModule.forRootAsync({
          name: 'second',
          dataSource: 'second',
          useFactory: () => ({ ...TEST_OPTIONS, schema: 'other' }),
        }),
      ],
    })
    class AppModule {}
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
    world.closeAtEnd(app);
    const second = app.get<WebhookOutboxService>(getWebhookOutboxToken('second'));
    expect(app.get(getWebhookOutboxToken())).toBe(app.get(WebhookOutboxService));
    expect(second).not.toBe(app.get(WebhookOutboxService));
    await app
      .get<WebhookEndpointsService>(getWebhookEndpointsToken('second'))
      .create({ url: `${world.receiver.url}x` });
    await app.get<DataSource>(getDataSourceToken('second')).transaction(async (transaction) => {
      await second.send({ type: 'a', data: 1 }, { transaction });
      await expect(app.get(WebhookOutboxService).send({ type: 'a', data: 1 }, { transaction })).rejects.toMatchObject({
        code: 'NOT_IN_TRANSACTION',
      });
    });
    await world.received('x', 1);
    await waitFor(() => app.get(SchedulerRegistry).getTimeouts().length === 4, { description: 'all polls to wait' });
    expect(app.get(SchedulerRegistry).getTimeouts().sort()).toEqual([
      'baton:webhook-outbox:default:cleanup',
      'baton:webhook-outbox:default:relay',
      'baton:webhook-outbox:second:cleanup',
      'baton:webhook-outbox:second:relay',
    ]);
    await app.close();
  });
});
