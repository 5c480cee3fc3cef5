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

  /** @param options.name of the instance; default the one without a name. */
  async isHealthy<const Key extends string = 'redis-topology'>(
    key = 'redis-topology' as Key,
    options: { readonly name?: string } = {},
  ): Promise<HealthIndicatorResult<Key>> {
    const service = this.modules.get<RedisReconcileService>(getRedisReconcileToken(options.name), { strict: false });
    const indicator = this.health.check(key);
    const { status, reason } = await service.health();
    switch (status) {
      case 'up':
        return indicator.up();
      case 'down':
        return indicator.down({ reason });
      case 'degraded': {
        // Terminus 11 knows only up and down.
        const degraded = (indicator as Partial<typeof indicator>).degraded?.bind(indicator);
        return degraded === undefined ? indicator.up({ reason, degraded: true }) : degraded({ reason });
      }
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
