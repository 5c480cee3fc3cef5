import { Inject, Injectable, Module } from '@nestjs/common';
import { ModuleRef } from '@nestjs/core';
import { type HealthIndicatorResult, HealthIndicatorService, TerminusModule } from '@nestjs/terminus';
import { getWebhookOutboxToken } from './webhook-outbox.module-definition.js';
import type { WebhookOutboxHealth } from './operating/outbox-health.js';
import type { WebhookOutboxService } from './webhook-outbox.service.js';

/**
 * `up` while events become durable and the relay, where one should run, looks for them; `degraded` (HTTP 200) while LISTEN is lost, outcomes
 * cannot be written, or secrets do not open; `down` when the database does not answer or the relay does not run. Receivers have no say in it.
 */
@Injectable()
export class WebhookOutboxHealthIndicator {
  constructor(
    @Inject(HealthIndicatorService) private readonly indicators: HealthIndicatorService,
    @Inject(ModuleRef) private readonly modules: ModuleRef,
  ) {}

  /** @param options.name of the instance; default the one without a name. */
  async isHealthy<const Key extends string = 'webhook-outbox'>(
    key = 'webhook-outbox' as Key,
    options: { readonly name?: string } = {},
  ): Promise<HealthIndicatorResult<Key>> {
    const service = this.modules.get<WebhookOutboxService>(getWebhookOutboxToken(options.name), { strict: false });
    const indicator = this.indicators.check(key);
    const health = await service.health();
    switch (health.state) {
      case 'up':
        return indicator.up(shown(health));
      case 'down':
        return indicator.down({ reason: health.reason, message: health.message });
      case 'degraded': {
        const { reason, message } = health;
        const figures = shown(health);
        // Terminus 11 knows only up and down.
        const degraded = (indicator as Partial<typeof indicator>).degraded?.bind(indicator);
        return degraded === undefined
          ? indicator.up({ ...figures, reason, message, degraded: true })
          : degraded({ ...figures, reason, message });
      }
    }
  }
}

function shown({ mode, lagMs, haltedLines }: Exclude<WebhookOutboxHealth, { state: 'down' }>) {
  return { mode, lagMs, ...(haltedLines !== undefined && { haltedLines }) };
}

/** Provides the indicator; import it beside `TerminusModule`. */
@Module({
  imports: [TerminusModule],
  providers: [WebhookOutboxHealthIndicator],
  exports: [WebhookOutboxHealthIndicator],
})
export class WebhookOutboxHealthModule {}
