import { Inject, Injectable, Module } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { type HealthIndicatorResult, HealthIndicatorService, TerminusModule } from '@nestjs/terminus';
import { getPgStreamToken } from './pg-stream.module-definition.js';
import { PgStreamService } from './pg-stream.service.js';

/**
 * `up` `{ mode: 'listening' }` when LISTEN works, or `{ mode: 'polling' }` when hints are off on purpose; `degraded` `{ mode: 'polling' }` when
 * LISTEN is lost and the poll does its work; `down` when queries fail, or when neither of the two works.
 */
@Injectable()
export class PgListenHealthIndicator {
  constructor(
    @Inject(HealthIndicatorService) private readonly indicators: HealthIndicatorService,
    @Inject(ModuleRef) private readonly modules: ModuleRef,
  ) {}

  async isHealthy(key = 'pg-listen', options: { readonly name?: string } = {}): Promise<HealthIndicatorResult> {
    const service = this.modules.get<PgStreamService>(getPgStreamToken(options.name), { strict: false });
    const health = await service.health();
    const indicator = this.indicators.check(key);
    switch (health.state) {
      case 'up':
        return indicator.up({ mode: health.mode });
      case 'down':
        return indicator.down({ message: health.message });
      case 'degraded': {
        // Terminus 11 knows only up and down.
        const degraded = (indicator as Partial<typeof indicator>).degraded?.bind(indicator);
        return degraded === undefined
          ? indicator.up({ mode: health.mode, degraded: true })
          : degraded({ mode: health.mode });
      }
    }
  }
}

@Module({
  imports: [TerminusModule],
  providers: [PgListenHealthIndicator],
  exports: [PgListenHealthIndicator],
})
export class PgStreamHealthModule {}
