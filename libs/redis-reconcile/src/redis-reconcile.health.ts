import { Inject, Injectable, Module } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { type HealthIndicatorResult, HealthIndicatorService, TerminusModule } from '@nestjs/terminus';
import { getRedisReconcileToken } from './redis-reconcile.module-definition.js';
import type { RedisReconcileService } from './redis-reconcile.service.js';

/** Up; degraded (still HTTP 200) while only the scan finds orphans; down when Redis does not answer. */
@Injectable()
export class RedisTopologyHealthIndicator {
  constructor(
    @Inject(HealthIndicatorService) private readonly health: HealthIndicatorService,
    @Inject(ModuleRef) private readonly modules: ModuleRef,
  ) {}

  async isHealthy<const Key extends string>(
    key: Key,
    options: { readonly name?: string } = {},
  ): Promise<HealthIndicatorResult<Key>> {
    const service = this.modules.get<RedisReconcileService>(getRedisReconcileToken(options.name), { strict: false });
    const indicator = this.health.check(key);
    const { status, reason } = await service.health();
    switch (status) {
      case 'up':
        return indicator.up();
      case 'degraded':
        // Terminus 11 knows no such state.
        return typeof indicator.degraded === 'function'
          ? indicator.degraded({ reason })
          : (indicator as { up(data: object): HealthIndicatorResult<Key> }).up({ degraded: true, reason });
      case 'down':
        return indicator.down({ reason });
    }
  }
}

/** Provides the indicator; import it beside `TerminusModule`. */
@Module({
  imports: [TerminusModule],
  providers: [RedisTopologyHealthIndicator],
  exports: [RedisTopologyHealthIndicator],
})
export class RedisReconcileHealthModule {}
