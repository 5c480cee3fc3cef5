import { IngestHealthIndicator } from '@nest-baton/ingest/health';
import { PgListenHealthIndicator } from '@nest-baton/pg-stream/health';
import { RedisTopologyHealthIndicator } from '@nest-baton/redis-reconcile/health';
import { WebhookOutboxHealthIndicator } from '@nest-baton/webhook-outbox/health';
import { Controller, Get, Inject } from '@nestjs/common';
import { HealthCheck, HealthCheckService, TypeOrmHealthIndicator } from '@nestjs/terminus';

@Controller('health')
export class HealthController {
  constructor(
    @Inject(HealthCheckService) private readonly health: HealthCheckService,
    @Inject(TypeOrmHealthIndicator) private readonly database: TypeOrmHealthIndicator,
    @Inject(PgListenHealthIndicator) private readonly listen: PgListenHealthIndicator,
    @Inject(RedisTopologyHealthIndicator) private readonly redis: RedisTopologyHealthIndicator,
    @Inject(WebhookOutboxHealthIndicator) private readonly outbox: WebhookOutboxHealthIndicator,
    @Inject(IngestHealthIndicator) private readonly ingest: IngestHealthIndicator,
  ) {}

  /** The process answers; nothing else is asked. */
  @Get('live')
  live() {
    return { status: 'ok' };
  }

  /** 200 also while a hint is lost and a scan does its work (`degraded`); 503 when a promise cannot be kept. */
  @Get('ready')
  @HealthCheck()
  ready() {
    return this.health.check([
      () => this.database.pingCheck('database'),
      () => this.listen.isHealthy('pg-listen'),
      () => this.redis.isHealthy('redis', { name: 'runs' }),
      () => this.outbox.isHealthy('webhook-outbox'),
      () => this.ingest.isHealthy('ingest'),
    ]);
  }
}
