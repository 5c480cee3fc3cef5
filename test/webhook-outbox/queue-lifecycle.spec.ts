import { systemClock, systemRandom } from '@nest-baton/core';
import { lifecycleContract } from '@nest-baton/testing';
import { WebhookOutboxModule, WebhookQueue } from '@nest-baton/webhook-outbox';
import { Logger, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import { ConsumedStore } from '../../libs/webhook-outbox/src/consuming/consumed-store.js';
import { HandOver } from '../../libs/webhook-outbox/src/queueing/hand-over.js';
import { OutboxDatabase } from '../../libs/webhook-outbox/src/schema/outbox-database.js';
import { HandOffStore } from '../../libs/webhook-outbox/src/sweeping/hand-off-store.js';
import { Sweeper } from '../../libs/webhook-outbox/src/sweeping/sweeper.js';
import { OutboxWorld } from './support/outbox-world.js';
import { QUEUE_OPTIONS, TestQueue } from './support/queue-app.js';

/** Pools of the test, undici's timer for all its timeouts, the date of Node's HTTP servers. */
const SHARED = { ignores: /undici\/lib\/util\/timers|testing\/src\/http|node_modules\/pg/ };

const SILENT = new Proxy({}, { get: () => () => undefined }) as never;

let world: OutboxWorld;
let dataSource: DataSource;
let database: OutboxDatabase;

beforeAll(async () => {
  Logger.overrideLogger(false);
  world = await OutboxWorld.create();
  dataSource = await new DataSource({ type: 'postgres', url: world.url, poolSize: 2 }).initialize();
  database = new OutboxDatabase({ schema: 'baton', migrations: 'auto' }, () => dataSource);
  await database.prepare();
});

afterAll(async () => {
  await dataSource.destroy();
  await world.stop();
});

describe('Sweeper:', () => {
  const sweeper = () => {
    const parts = {
      store: new HandOffStore(database, database.schema),
      consumed: new ConsumedStore(database, database.schema),
      handOver: new HandOver(new TestQueue(), 1_000, SILENT),
    };
    const options = { pollIntervalMs: 3_600_000, handOffGraceMs: 100 };
    return new Sweeper('lifecycle', options, parts, SILENT, undefined, systemClock, systemRandom);
  };
  it.each(lifecycleContract(sweeper, SHARED))('$title', ({ run }) => run());
});

describe.each(['before', 'after'])(
  'an application with a queue that imports TypeORM %s WebhookOutboxModule:',
  (order) => {
    const application = async () => {
      @Module({ providers: [{ provide: WebhookQueue, useValue: new TestQueue() }] })
      class QueueModule {}
      const imports = [
        TypeOrmModule.forRoot({ type: 'postgres', url: world.url, retryAttempts: 0, poolSize: 3 }),
        WebhookOutboxModule.forRoot({ ...QUEUE_OPTIONS, queue: WebhookQueue }),
        QueueModule,
      ];
      if (order === 'after') imports.reverse();
      const app = await Test.createTestingModule({ imports }).compile();
      return { start: () => app.init(), stop: () => app.close() };
    };
    it.each(lifecycleContract(application, { startAfterStop: 'refused', ...SHARED }))('$title', ({ run }) => run());
  },
);
