import { strict as assert } from 'node:assert';
import { type Handoff, HandoffHandler, RedisReconcileModule, RedisReconcileService } from '@nest-baton/redis-reconcile';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

const { redisUrl, service } = JSON.parse(process.argv[2] ?? '{}') as { redisUrl: string; service: string };
const handled: string[] = [];

@Injectable()
@HandoffHandler('default', { concurrency: 2 })
class Worker {
  handle(handoff: Handoff<{ customer: number }>): Promise<void> {
    handoff.assertOwned();
    handled.push(`${handoff.dataStream} for ${handoff.info.customer}`);
    return Promise.resolve();
  }
}

@Module({
  imports: [
    RedisReconcileModule.forRoot({
      connection: { url: redisUrl },
      service,
      consumerId: 'packed',
      keyspaceEvents: 'verify',
    }),
  ],
  providers: [Worker],
})
class AppModule {}

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error'], abortOnError: false });
  const handoffs = app.get(RedisReconcileService);
  const done = new Promise<void>((resolve) => handoffs.on('done', () => resolve()));
  await handoffs.produce('report-17', { info: { customer: 4 }, dedupeId: 'report-17' });
  await done;
  assert.deepEqual(handled, ['report-17 for 4']);
  await app.close();
}

void main().then(() => console.log('done'));
