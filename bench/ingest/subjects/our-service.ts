import { IngestModule, type IngestOptions, IngestService } from '@nest-baton/ingest';
import { Logger, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { LogLine } from '../documents.js';

@Module({})
class EmptyModule {}

export interface OurService {
  readonly service: IngestService<LogLine>;
  readonly stop: () => Promise<void>;
}

/** As users get it: through the module, in a Nest application. */
export async function startOurService(options: Omit<IngestOptions, 'index'>): Promise<OurService> {
  Logger.overrideLogger(['error', 'fatal']);
  const module = { module: EmptyModule, imports: [IngestModule.forRoot({ ...options, index: 'logs' })] };
  const app = await NestFactory.createApplicationContext(module, { abortOnError: false });
  return { service: app.get<IngestService<LogLine>>(IngestService), stop: () => app.close() };
}
