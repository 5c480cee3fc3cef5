import { Inject, Injectable, Module } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { type HealthIndicatorResult, HealthIndicatorService, TerminusModule } from '@nestjs/terminus';
import { getRedisReconcileToken } from './redis-reconcile.module-definition.js';
import type { RedisReconcileService } from './redis-reconcile.service.js';

/**
 * `up` while Redis answers and orphans are found, by expiry events or, where those are off on purpose, by the scan alone; `degraded` (HTTP 200)
 * while events are lost or not granted and the scan does its work, while some masters of a cluster do not answer, or while it has not settled; `down`
 * when Redis does not answer. Tells how many masters are known, to how many this process is subscribed, and whether the cluster is settled.
 */
@Injectable()
export class RedisTopologyHealthIndicator {
  constructor(
    @Inject(HealthIndicatorService) private readonly indicators: HealthIndicatorService,
    @Inject(ModuleRef) private readonly modules: ModuleRef,
  ) {}

  /** @param options.name of the instance; default the one without a name. */
  async isHealthy<const Key extends string = 'redis-topology'>(
    key = 'redis-topology' as Key,
    options: { readonly name?: string } = {},
  ): Promise<HealthIndicatorResult<Key>> {
    const service = this.modules.get<RedisReconcileService>(getRedisReconcileToken(options.name), { strict: false });
    const indicator = this.indicators.check(key);
    const health = await service.health();
    switch (health.state) {
      case 'up': {
        const { state: _, ...details } = health;
        return indicator.up(details);
      }
      case 'down':
        return indicator.down({ reason: health.reason, message: health.message });
      case 'degraded': {
        const { state: _, ...details } = health;
        // Terminus 11 knows only up and down.
        const degraded = (indicator as Partial<typeof indicator>).degraded?.bind(indicator);
        return degraded === undefined ? indicator.up({ ...details, degraded: true }) : degraded(details);
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
