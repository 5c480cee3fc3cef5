import 'reflect-metadata';
import {
  WebhookEndpointsService,
  WebhookOutboxModule,
  type WebhookOutboxOptions,
  WebhookOutboxService,
} from '@nest-baton/webhook-outbox';
import { type INestApplicationContext, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import type { DataSource } from 'typeorm';
import { EVENT_DATA, type QueueSetup, type QueueSubject, SECRET } from './queue-subject.js';

export interface OutboxApp {
  readonly context: INestApplicationContext;
  readonly outbox: WebhookOutboxService;
  readonly endpoints: WebhookEndpointsService;
  readonly dataSource: DataSource;
}

/** What a sink on loopback asks for, and keys; everything else is the default. */
const NEEDED: WebhookOutboxOptions = {
  keys: [{ id: 'bench', key: Buffer.alloc(32, 7).toString('base64') }],
  allowHttp: true,
  allowAddresses: ['127.0.0.0/8'],
};

let apps = 0;

/** The module in an application of Nest, over TypeORM's pool, which is 10 by default. */
export async function startOutboxApp(url: string, options: WebhookOutboxOptions, poolSize = 10): Promise<OutboxApp> {
  const name = `bench-${apps++}`;
  @Module({
    imports: [
      TypeOrmModule.forRoot({ name, type: 'postgres', url, poolSize, retryAttempts: 0 }),
      WebhookOutboxModule.forRoot({ ...NEEDED, ...options, dataSource: name }),
    ],
  })
  class AppModule {}
  const context = await NestFactory.createApplicationContext(AppModule, {
    logger: ['error', 'warn'],
    abortOnError: false,
  });
  return {
    context,
    outbox: context.get(WebhookOutboxService),
    endpoints: context.get(WebhookEndpointsService),
    dataSource: context.get<DataSource>(getDataSourceToken(name)),
  };
}

/** Endpoints are told apart by tenants, so that each event goes to one of them. */
export function tenantOf(nth: number): string {
  return `tenant-${nth}`;
}

/** Sends from several callers at once, as requests of a service do; resolves when all are durable. */
export async function sendAll({ outbox }: OutboxApp, count: number, tenants: number): Promise<void> {
  let next = 0;
  const caller = async () => {
    for (let nth = next++; nth < count; nth = next++) {
      const sent = await outbox.send({ type: 'run.done', tenant: tenantOf(nth % tenants), data: EVENT_DATA });
      if (sent.deliveries !== 1) throw new Error(`an event has ${sent.deliveries} deliveries`);
    }
  };
  await Promise.all(Array.from({ length: 16 }, caller));
}

export async function startOurs({ url, endpoints }: QueueSetup): Promise<QueueSubject> {
  const producer = await startOutboxApp(url, { role: 'producer' });
  for (const [nth, endpoint] of endpoints.entries())
    await producer.endpoints.create({ url: endpoint, tenant: tenantOf(nth), secret: SECRET });
  const count = async (where: string) => {
    const [row] = await producer.dataSource.query<{ n: string }[]>(
      `SELECT count(*) AS n FROM baton.webhook_deliveries WHERE ${where}`,
    );
    return Number(row?.n);
  };
  let worker: OutboxApp | undefined;
  return {
    name: 'webhook-outbox',
    fill: (n) => sendAll(producer, n, endpoints.length),
    startWork: async () => {
      worker = await startOutboxApp(url, { role: 'worker' });
    },
    stopWork: async () => {
      await worker?.context.close();
      worker = undefined;
    },
    counts: async () => ({
      open: await count(`state IN ('ready', 'leased')`),
      failed: await count(`state IN ('failed', 'dead') OR attempts > 1`),
    }),
    clear: async () =>
      void (await producer.dataSource.query(
        'TRUNCATE baton.webhook_attempts, baton.webhook_deliveries, baton.webhook_events',
      )),
    stop: () => producer.context.close(),
  };
}
