import { strict as assert } from 'node:assert';
import { PgStreamModule, PgStreamService } from '@nest-baton/pg-stream';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

const { databaseUrl } = JSON.parse(process.argv[2] ?? '{}') as { databaseUrl: string };

@Module({ imports: [PgStreamModule.forRoot({ connectionString: databaseUrl })] })
class AppModule {}

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: ['warn', 'error'], abortOnError: false });
  const streams = app.get(PgStreamService);
  const writer = await streams.open('answer', { producer: { id: 'answer', epoch: 1 } });
  await writer.append('a chunk');
  await writer.close();
  const texts: string[] = [];
  for await (const { data } of streams.read('answer')) texts.push(Buffer.from(data).toString());
  assert.deepEqual(texts, ['a chunk']);
  await app.close();
}

void main().then(() => console.log('done'));
