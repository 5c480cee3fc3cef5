import { strict as assert } from 'node:assert';
import { getRedisReconcileToken, RedisReconcileModule, type RedisReconcileService } from '@nest-baton/redis-reconcile';
import { RedisReconcileHealthModule, RedisTopologyHealthIndicator } from '@nest-baton/redis-reconcile/health';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ScheduleModule } from '@nestjs/schedule';
import { HealthCheckService, TerminusModule } from '@nestjs/terminus';

const { redisUrl, service } = JSON.parse(process.argv[2] ?? '{}') as { redisUrl: string; service: string };

@Module({
  imports: [
    ScheduleModule.forRoot(),
    TerminusModule,
    RedisReconcileModule.forRootAsync({
      name: 'reports',
      useFactory: () => ({ connection: { url: redisUrl }, service, consumerId: 'packed', keyspaceEvents: 'verify' }),
    }),
    RedisReconcileHealthModule,
  ],
})
class AppModule {}

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error'], abortOnError: false });
  const indicator = app.get(RedisTopologyHealthIndicator);
  const check = () => indicator.isHealthy('handoffs', { name: 'reports' });
  const report = await app.get(HealthCheckService, { strict: false }).check([check]);
  // Without the server's expiry events it is degraded, which Terminus 11 has no word for.
  assert.equal(report.status, 'ok');
  assert.match(String(report.details['handoffs']?.status), /^(up|degraded)$/);
  assert.ok(await app.get<RedisReconcileService>(getRedisReconcileToken('reports')).produce('report-17'));
  await app.close();
}

void main().then(() => console.log('done'));
