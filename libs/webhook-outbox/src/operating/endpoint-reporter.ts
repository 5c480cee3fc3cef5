import type { Metrics, TypedEvents } from '@nest-baton/core';
import type { Logger } from '@nestjs/common';
import type { HealthChange } from '../endpoint-health/endpoint-health-store.js';
import type { PutAside } from '../reclaiming/reclaim-store.js';
import type { WebhookOutboxEvents } from '../webhook-outbox.events.js';
import type { EndpointChange, WEBHOOK_OUTBOX_METRICS } from '../webhook-outbox.metrics.js';

/** Tells the log, the listeners and the instruments what becomes of endpoints. Each change is told by the one process that wrote it. */
export class EndpointReporter {
  constructor(
    private readonly events: TypedEvents<WebhookOutboxEvents>,
    private readonly metrics: Metrics<typeof WEBHOOK_OUTBOX_METRICS>,
    private readonly logger: Logger,
    private readonly disableAfterMs: number,
  ) {}

  unusable(endpointId: string, error: string): void {
    this.logger.error('an endpoint cannot be signed for; its deliveries wait', { endpointId, error });
    this.events.emit('endpointUnusable', { endpointId, error });
  }

  healthChanged(change: HealthChange): void {
    const { endpointId, failures, failingEvents, failingSince, pauseMs, disabledReason } = change;
    if (pauseMs > 0) {
      this.told('paused', 'log', 'an endpoint asked to be left alone', { endpointId, pauseMs });
      this.events.emit('endpointPaused', { endpointId, pauseMs });
    }
    if (change.hasOpened && failingSince !== null) {
      const details = { endpointId, failures, failingSince };
      this.told('failing', 'warn', 'an endpoint fails; its deliveries wait, but for one request now and then', details);
      this.events.emit('endpointFailing', details);
    }
    if (change.isWarned && failingSince !== null && disabledReason === null) {
      const disablesAt = new Date(failingSince.getTime() + this.disableAfterMs);
      const details = { endpointId, failingEvents, failingSince, disablesAt };
      this.told('disabling', 'warn', 'an endpoint has only failed for long; it will be disabled', details);
      this.events.emit('endpointDisabling', details);
    }
    if (disabledReason !== null) {
      const details = { endpointId, reason: disabledReason };
      this.told('disabled', 'error', 'an endpoint was disabled; its deliveries are parked', details);
      this.events.emit('endpointDisabled', details);
    }
    if (change.hasRecovered) {
      this.told('recovered', 'log', 'an endpoint has recovered', { endpointId });
      this.events.emit('endpointRecovered', { endpointId });
    }
  }

  putAside(counts: PutAside): void {
    this.logger.log('deliveries of endpoints that are off were put aside', counts);
    for (const state of ['parked', 'abandoned'] as const)
      if (counts[state] > 0) this.metrics.add('deliveries.put_aside', counts[state], state);
  }

  private told(change: EndpointChange, level: 'log' | 'warn' | 'error', what: string, details: object): void {
    this.logger[level](what, details);
    this.metrics.add('endpoints.changed', 1, change);
  }
}
