import { strict as assert } from 'node:assert';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebhookEndpointsService, WebhookOutboxModule, WebhookOutboxService } from '@nest-baton/webhook-outbox';
import { WebhookOutboxHealthIndicator, WebhookOutboxHealthModule } from '@nest-baton/webhook-outbox/health';
import { VerifyWebhook, verifyWebhook } from '@nest-baton/webhook-outbox/receiving';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ScheduleModule } from '@nestjs/schedule';
import { HealthCheckService, TerminusModule } from '@nestjs/terminus';
import { TypeOrmModule } from '@nestjs/typeorm';

const { databaseUrl, receiverUrl } = JSON.parse(process.argv[2] ?? '{}') as {
  databaseUrl: string;
  receiverUrl: string;
};

const secrets = `whsec_${Buffer.alloc(32, 9).toString('base64')}`;

@VerifyWebhook({ secrets })
class Receiver {}

@Module({
  imports: [
    ScheduleModule.forRoot(),
    TerminusModule,
    TypeOrmModule.forRoot({ type: 'postgres', url: databaseUrl, retryAttempts: 0 }),
    WebhookOutboxModule.forRootAsync({
      useFactory: () => ({
        keys: [{ id: 'k1', key: Buffer.alloc(32, 7).toString('base64') }],
        listenConnectionString: databaseUrl,
        allowHttp: true,
        allowAddresses: ['127.0.0.0/8'],
      }),
    }),
    WebhookOutboxHealthModule,
  ],
})
class AppModule {}

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: ['warn', 'error'], abortOnError: false });
  const outbox = app.get(WebhookOutboxService);
  await app.get(WebhookEndpointsService).create({ url: receiverUrl });
  const delivered = new Promise<string>((resolve) => outbox.on('delivered', ({ eventId }) => resolve(eventId)));
  const { id } = await outbox.send({ type: 'packed.sent', data: { order: 1 } });
  assert.equal(await delivered, id);
  // The module begins on its poll and does not wait for LISTEN; until that is there it is degraded, and not every Terminus knows that word.
  for (let tries = 0; (await outbox.health()).state !== 'up' && tries < 1_000; tries++) await sleep(10);
  const indicator = app.get(WebhookOutboxHealthIndicator);
  const report = await app.get(HealthCheckService, { strict: false }).check([() => indicator.isHealthy('webhooks')]);
  assert.equal(report.status, 'ok');
  assert.equal(report.details['webhooks']?.status, 'up');
  assert.throws(() => verifyWebhook({ headers: {}, body: '', secrets }), { code: 'WEBHOOK_UNVERIFIED' });
  assert.equal(typeof Receiver, 'function');
  await app.close();
}

void main().then(() => console.log('done'));
