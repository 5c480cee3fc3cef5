import { strict as assert } from 'node:assert';
import { WebhookEndpointsService, WebhookOutboxModule, WebhookOutboxService } from '@nest-baton/webhook-outbox';
import { WebhookOutboxHealthIndicator, WebhookOutboxHealthModule } from '@nest-baton/webhook-outbox/health';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ScheduleModule } from '@nestjs/schedule';
import { HealthCheckService, TerminusModule } from '@nestjs/terminus';
import { TypeOrmModule } from '@nestjs/typeorm';

const { databaseUrl, receiverUrl } = JSON.parse(process.argv[2] ?? '{}') as {
  databaseUrl: string;
  receiverUrl: string;
};

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
  const indicator = app.get(WebhookOutboxHealthIndicator);
  const report = await app.get(HealthCheckService, { strict: false }).check([() => indicator.isHealthy('webhooks')]);
  assert.equal(report.status, 'ok');
  assert.match(String(report.details['webhooks']?.status), /^(up|degraded)$/);
  await app.close();
}

void main().then(() => console.log('done'));
