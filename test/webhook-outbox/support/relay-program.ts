import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { WebhookOutboxModule, type WebhookOutboxOptions, WebhookOutboxService } from '@nest-baton/webhook-outbox';

/** A relay in a process of its own: `relay-program <database url> <options as JSON> <ms its clock is off, or a list to step through>`. Prints `ready`, then events. */
const [, , url = '', options = '{}', clockOffMs = '0'] = process.argv;

const now = Date.now;
const offs = clockOffMs.split(',').map(Number);
let step = 0;
if (offs.length > 1) setInterval(() => step++, 150).unref();
Date.now = () => now() + (offs[step % offs.length] ?? 0);

@Module({
  imports: [
    TypeOrmModule.forRoot({ type: 'postgres', url, poolSize: 4, retryAttempts: 0 }),
    WebhookOutboxModule.forRoot(JSON.parse(options) as WebhookOutboxOptions),
  ],
})
class RelayModule {}

const app = await NestFactory.createApplicationContext(RelayModule, { logger: ['error', 'warn'] });
app.enableShutdownHooks();
const outbox = app.get(WebhookOutboxService);
outbox.on('delivered', ({ id }) => console.log(`delivered ${id}`));
outbox.on('leaseLost', ({ deliveryId, wasStarted }) => console.log(`leaseLost ${deliveryId} ${wasStarted}`));
console.log('ready');
