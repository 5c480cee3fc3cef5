import { strict as assert } from 'node:assert';
import { IngestModule, IngestService } from '@nest-baton/ingest';
import { IngestHealthIndicator, IngestHealthModule } from '@nest-baton/ingest/health';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { HealthCheckService, TerminusModule } from '@nestjs/terminus';

const { quickwitUrl } = JSON.parse(process.argv[2] ?? '{}') as { quickwitUrl: string };

@Module({
  imports: [
    TerminusModule,
    IngestModule.forRootAsync({ useFactory: () => ({ url: quickwitUrl, index: 'packed' }) }),
    IngestHealthModule,
  ],
})
class AppModule {}

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: ['warn', 'error'], abortOnError: false });
  await app.get<IngestService<{ id: string }>>(IngestService).ingestSync({ id: 'one' });
  const indicator = app.get(IngestHealthIndicator);
  const report = await app.get(HealthCheckService, { strict: false }).check([() => indicator.isHealthy('documents')]);
  assert.equal(report.details['documents']?.status, 'up');
  await app.close();
}

void main().then(() => console.log('done'));
