import { OptionsInvalidError, unknownName } from '@nest-baton/core';
import { Inject, Injectable, Module } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { type HealthIndicatorResult, HealthIndicatorService, TerminusModule } from '@nestjs/terminus';
import { getIngestRootToken } from './ingest.module-definition.js';
import type { IngestRoot } from './ingest.root.js';

/**
 * `up` while the server takes what it is sent; `degraded` (HTTP 200) while attempts fail and are repeated, the server asks for a pause, or calls
 * wait for room; `down` when the server does not want our requests, has taken nothing for `stalledAfter`, or the service was closed.
 */
@Injectable()
export class IngestHealthIndicator {
  constructor(
    @Inject(HealthIndicatorService) private readonly indicators: HealthIndicatorService,
    @Inject(ModuleRef) private readonly modules: ModuleRef,
  ) {}

  /**
   * @param options.name of the root; default the one without a name.
   * @param options.index one of its further indexes, by its name; default all that it has, of which the worst is told.
   * @throws OptionsInvalidError when the root has no such index.
   */
  async isHealthy<const Key extends string = 'ingest'>(
    key = 'ingest' as Key,
    { name, index }: { readonly name?: string; readonly index?: string } = {},
  ): Promise<HealthIndicatorResult<Key>> {
    const root = this.modules.get<IngestRoot>(getIngestRootToken(name), { strict: false });
    const asked = index === undefined ? root : root.index(index);
    if (asked === undefined)
      throw new OptionsInvalidError('IngestHealthIndicator', [unknownName('index', index ?? '', root.indexNames)]);
    const indicator = this.indicators.check(key);
    const health = await asked.health();
    switch (health.state) {
      case 'up':
        return indicator.up();
      case 'down':
        return indicator.down({ reason: health.reason, message: health.message });
      case 'degraded': {
        const { reason, message } = health;
        // Terminus 11 knows only up and down.
        const degraded = (indicator as Partial<typeof indicator>).degraded?.bind(indicator);
        return degraded === undefined
          ? indicator.up({ reason, message, degraded: true })
          : degraded({ reason, message });
      }
    }
  }
}

/** Provides the indicator; import it beside `TerminusModule`. */
@Module({
  imports: [TerminusModule],
  providers: [IngestHealthIndicator],
  exports: [IngestHealthIndicator],
})
export class IngestHealthModule {}
