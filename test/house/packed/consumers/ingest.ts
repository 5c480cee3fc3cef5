import { strict as assert } from 'node:assert';
import { ackDecision, IngestModule, IngestService } from '@nest-baton/ingest';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

const { quickwitUrl } = JSON.parse(process.argv[2] ?? '{}') as { quickwitUrl: string };

@Module({ imports: [IngestModule.forRoot({ url: quickwitUrl, index: 'packed' })] })
class AppModule {}

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: ['warn', 'error'], abortOnError: false });
  const documents: IngestService<{ id: string }> = app.get(IngestService);
  const receipt = documents.ingestBatch([{ id: 'one' }]);
  await receipt.wait();
  const [outcome] = await receipt.outcomes;
  assert.equal(outcome?.status, 'accepted');
  assert.equal(ackDecision(undefined), 'ack');
  await app.close();
}

void main().then(() => console.log('done'));
