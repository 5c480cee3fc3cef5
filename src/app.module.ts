import { IngestModule } from '@nest-baton/ingest';
import { PgStreamModule } from '@nest-baton/pg-stream';
import { RedisReconcileModule } from '@nest-baton/redis-reconcile';
import { WebhookOutboxModule, webhookOutboxEntities } from '@nest-baton/webhook-outbox';
import { type DynamicModule, Module } from '@nestjs/common';
import { APP_FILTER, APP_GUARD } from '@nestjs/core';
import { ScheduleModule } from '@nestjs/schedule';
import { TypeOrmModule } from '@nestjs/typeorm';
import type { AppConfig } from './app.config.js';
import { EventsController } from './events/events.controller.js';
import { HealthModule } from './health/health.module.js';
import { API_TOKEN, ApiTokenGuard } from './http/api-token.guard.js';
import { ProblemFilter } from './http/problem.filter.js';
import { RunsModule } from './runs/runs.module.js';
import { WebhookEndpointsController } from './webhooks/webhook-endpoints.controller.js';

/** The reference service: all four modules, as a team would register them in their own. */
@Module({})
export class AppModule {
  static forRoot(config: AppConfig): DynamicModule {
    return {
      module: AppModule,
      imports: [
        ScheduleModule.forRoot(),
        TypeOrmModule.forRoot({
          type: 'postgres',
          url: config.databaseUrl,
          entities: webhookOutboxEntities({ schema: config.runs.schema }),
          synchronize: false,
          poolSize: 10,
          connectTimeoutMS: 5_000,
          // A statement on a dead network path would hold its caller, and the shutdown, until TCP gives up.
          extra: { application_name: `baton-${config.role}`, keepAlive: true, query_timeout: 30_000 },
          retryAttempts: 0,
        }),
        IngestModule.forRoot(config.ingest),
        PgStreamModule.forRoot(config.pgStream),
        WebhookOutboxModule.forRoot(config.webhookOutbox),
        RedisReconcileModule.forRoot({ name: 'runs', ...config.redisReconcile }),
        RunsModule.forRole(config.role, config.runs),
        HealthModule,
      ],
      controllers: config.role === 'worker' ? [] : [EventsController, WebhookEndpointsController],
      providers: [
        { provide: API_TOKEN, useValue: config.apiToken },
        { provide: APP_GUARD, useClass: ApiTokenGuard },
        { provide: APP_FILTER, useClass: ProblemFilter },
      ],
    };
  }
}
