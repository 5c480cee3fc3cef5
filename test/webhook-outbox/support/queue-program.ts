import 'reflect-metadata';
import { type DynamicModule, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  type QueuedWebhook,
  WebhookOutboxModule,
  type WebhookOutboxOptions,
  WebhookOutboxService,
  WebhookQueue,
} from '@nest-baton/webhook-outbox';
import { Redis } from 'ioredis';
import { RedisListConsumer, RedisListQueue } from '../examples/redis-list-queue.js';

/**
 * A process with a queue: `queue-program <what> <database url> <redis url> <list> <options as JSON>`. Prints `ready`, then events.
 * `consume`: delivers what the list names. `hang`: sends one event, and its queue never answers. `deaf`: its queue forgets everything.
 */
const [, , what = '', url = '', redisUrl = '', list = '', options = '{}'] = process.argv;

const redis = new Redis(redisUrl);

class HangingQueue extends WebhookQueue {
  override send({ outboxId }: QueuedWebhook): Promise<never> {
    console.log(`told ${outboxId}`);
    return new Promise(() => undefined);
  }
}

const queue = what === 'hang' ? new HangingQueue() : new RedisListQueue(redis, list);

@Module({ providers: [{ provide: WebhookQueue, useValue: queue }] })
class QueueModule {}

const outboxModule: DynamicModule = WebhookOutboxModule.forRoot({
  ...(JSON.parse(options) as WebhookOutboxOptions),
  queue: WebhookQueue,
});

@Module({
  imports: [TypeOrmModule.forRoot({ type: 'postgres', url, poolSize: 4, retryAttempts: 0 }), outboxModule, QueueModule],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error', 'warn'] });
const outbox = app.get(WebhookOutboxService);
outbox.on('delivered', ({ id }) => console.log(`delivered ${id}`));
console.log('ready');
if (what === 'hang') await outbox.send({ type: 'a', data: 1 });
else new RedisListConsumer(redis.duplicate(), list, outbox).start();
