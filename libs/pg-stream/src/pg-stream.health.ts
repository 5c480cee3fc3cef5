import { Inject, Injectable, Module } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { type HealthIndicatorResult, HealthIndicatorService, TerminusModule } from '@nestjs/terminus';
import { getPgStreamToken } from './pg-stream.module-definition.js';
import type { PgStreamService } from './pg-stream.service.js';

/**
 * `up` while queries work and readers are woken, by LISTEN or, where hints are off on purpose, by the poll alone; `degraded` (HTTP 200) while
 * LISTEN is lost and the poll does its work; `down` when queries fail, or when neither of the two works.
 */
@Injectable()
export class PgListenHealthIndicator {
  constructor(
    @Inject(HealthIndicatorService) private readonly indicators: HealthIndicatorService,
    @Inject(ModuleRef) private readonly modules: ModuleRef,
  ) {}

  /** @param options.name of the instance; default the one without a name. */
  async isHealthy<const Key extends string = 'pg-listen'>(
    key = 'pg-listen' as Key,
    options: { readonly name?: string } = {},
  ): Promise<HealthIndicatorResult<Key>> {
    const service = this.modules.get<PgStreamService>(getPgStreamToken(options.name), { strict: false });
    const indicator = this.indicators.check(key);
    const health = await service.health();
    switch (health.state) {
      case 'up':
        return indicator.up({ mode: health.mode });
      case 'down':
        return indicator.down({ reason: health.reason, message: health.message });
      case 'degraded': {
        const { mode, reason, message } = health;
        // Terminus 11 knows only up and down.
        const degraded = (indicator as Partial<typeof indicator>).degraded?.bind(indicator);
        return degraded === undefined
          ? indicator.up({ mode, reason, message, degraded: true })
          : degraded({ mode, reason, message });
      }
    }
  }
}

/** Provides the indicator; import it beside `TerminusModule`. */
@Module({
  imports: [TerminusModule],
  providers: [PgListenHealthIndicator],
  exports: [PgListenHealthIndicator],
})
export class PgStreamHealthModule {}
