import { strict as assert } from 'node:assert';
import { PgStreamModule, PgStreamService } from '@nest-baton/pg-stream';
import { DurableStreamsModule } from '@nest-baton/pg-stream/durable-streams';
import { PgListenHealthIndicator, PgStreamHealthModule } from '@nest-baton/pg-stream/health';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ScheduleModule } from '@nestjs/schedule';
import { HealthCheckService, TerminusModule } from '@nestjs/terminus';

const { databaseUrl } = JSON.parse(process.argv[2] ?? '{}') as { databaseUrl: string };

@Module({
  imports: [
    ScheduleModule.forRoot(),
    TerminusModule,
    PgStreamModule.forRootAsync({ useFactory: () => ({ connectionString: databaseUrl }) }),
    PgStreamHealthModule,
    DurableStreamsModule.forRoot({ path: 'streams', token: 'a token of thirty-two characters' }),
  ],
})
class AppModule {}

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: ['warn', 'error'], abortOnError: false });
  const appended = await app.get(PgStreamService).append('answer', 'a chunk');
  assert.equal(appended.lastIndex, 0);
  const indicator = app.get(PgListenHealthIndicator);
  const report = await app.get(HealthCheckService, { strict: false }).check([() => indicator.isHealthy('streams')]);
  assert.equal(report.details['streams']?.status, 'up');
  await app.close();
}

void main().then(() => console.log('done'));
