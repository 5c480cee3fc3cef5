import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  type QueuedWebhook,
  WebhookDeliveriesService,
  WebhookEndpointsService,
  WebhookOutboxModule,
  type WebhookOutboxOptions,
  WebhookOutboxService,
  WebhookQueue,
} from '@nest-baton/webhook-outbox';
import { DataSource } from 'typeorm';
import { type OutboxApp, type OutboxWorld, TEST_OPTIONS } from './outbox-world.js';

/** A queue that remembers what it was told, and does what the test wants with it. */
export class TestQueue extends WebhookQueue {
  readonly told: QueuedWebhook[] = [];

  constructor(private readonly onTold: (message: QueuedWebhook) => Promise<unknown> | void = () => undefined) {
    super();
  }

  send(message: QueuedWebhook): Promise<unknown> | void {
    this.told.push(message);
    return this.onTold(message);
  }
}

/** Handed over at once, whatever the run says of hints; the sweep is quick. */
export const QUEUE_OPTIONS: WebhookOutboxOptions = {
  ...TEST_OPTIONS,
  dispatch: 'queue',
  hints: 'on',
  handOffGrace: '300ms',
  schedule: ['200ms', '200ms'],
};

/** An application whose events go to the queue, which a module of its own provides. */
export async function startWithQueue(
  world: OutboxWorld,
  queue: WebhookQueue,
  options: WebhookOutboxOptions = {},
): Promise<OutboxApp> {
  @Module({ providers: [{ provide: WebhookQueue, useValue: queue }] })
  class QueueModule {}
  @Module({
    imports: [
      TypeOrmModule.forRoot({ type: 'postgres', url: world.url, poolSize: 6, retryAttempts: 0 }),
      WebhookOutboxModule.forRoot({ ...QUEUE_OPTIONS, ...options, queue: WebhookQueue }),
      QueueModule,
    ],
  })
  class AppModule {}
  const context = await NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false });
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= context.close());
  world.closeAtEnd({ close } as never);
  return {
    context,
    outbox: context.get(WebhookOutboxService),
    endpoints: context.get(WebhookEndpointsService),
    deliveries: context.get(WebhookDeliveriesService),
    dataSource: context.get(DataSource),
    close,
  };
}

export interface HandOffRow {
  readonly event_id: string;
  readonly kind: string;
  readonly next_at: Date;
  readonly lease_until: Date | null;
  readonly fence: string;
  readonly count: number;
}

export async function handOffs(world: OutboxWorld): Promise<readonly HandOffRow[]> {
  return (await world.admin.query<HandOffRow>('SELECT * FROM baton.webhook_hand_offs ORDER BY event_id')).rows;
}
