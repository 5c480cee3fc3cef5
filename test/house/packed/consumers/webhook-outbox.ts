import { strict as assert } from 'node:assert';
import { WebhookEndpointsService, WebhookOutboxModule, WebhookOutboxService } from '@nest-baton/webhook-outbox';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';

const { databaseUrl, receiverUrl } = JSON.parse(process.argv[2] ?? '{}') as {
  databaseUrl: string;
  receiverUrl: string;
};

@Module({
  imports: [
    TypeOrmModule.forRoot({ type: 'postgres', url: databaseUrl, retryAttempts: 0 }),
    WebhookOutboxModule.forRoot({
      keys: [{ id: 'k1', key: Buffer.alloc(32, 7).toString('base64') }],
      allowHttp: true,
      allowAddresses: ['127.0.0.0/8'],
    }),
  ],
})
class AppModule {}

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: ['warn', 'error'], abortOnError: false });
  const outbox = app.get(WebhookOutboxService);
  await app.get(WebhookEndpointsService).create({ url: receiverUrl });
  const delivered = new Promise<string>((resolve) => outbox.on('delivered', ({ eventId }) => resolve(eventId)));
  const { id } = await app
    .get(DataSource)
    .transaction((transaction) => outbox.send({ type: 'packed.sent', data: { order: 1 } }, { transaction }));
  assert.equal(await delivered, id);
  await app.close();
}

void main().then(() => console.log('done'));
