import { IngestHealthModule } from '@nest-baton/ingest/health';
import { PgStreamHealthModule } from '@nest-baton/pg-stream/health';
import { RedisReconcileHealthModule } from '@nest-baton/redis-reconcile/health';
import { WebhookOutboxHealthModule } from '@nest-baton/webhook-outbox/health';
import { Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { HealthController } from './health.controller.js';

@Module({
  imports: [
    TerminusModule,
    PgStreamHealthModule,
    RedisReconcileHealthModule,
    WebhookOutboxHealthModule,
    IngestHealthModule,
  ],
  controllers: [HealthController],
})
export class HealthModule {}
