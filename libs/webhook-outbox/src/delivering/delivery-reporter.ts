import { describeError, TypedEvents } from '@nest-baton/core';
import { Logger } from '@nestjs/common';
import { webhookIdOf } from '../sending/signature.js';
import type { WebhookOutboxEvents } from '../webhook-outbox.events.js';
import type { DeadDelivery, DeliveryReport } from './delivery.js';
import type { Held } from './held-deliveries.js';
import type { Settlement } from '../outcomes/outcome.js';
import type { ReclaimedDelivery } from './reclaim-store.js';

/** Tells the log, the listeners and `onDead` what became of deliveries. What any of them throws is logged and reaches nothing else. */
export class DeliveryReporter {
  readonly events: TypedEvents<WebhookOutboxEvents>;

  constructor(
    private readonly logger: Logger,
    private readonly onDead: ((delivery: DeadDelivery) => unknown) | undefined,
  ) {
    this.events = new TypedEvents((event, error) =>
      logger.error('a listener failed', { event, error: describeError(error) }),
    );
  }

  settled({ claim, attempts }: Held, settlement: Settlement): void {
    const { outcome, reason, status, error, retryInMs, state } = settlement;
    const report = reportOf({ ...claim, attempts, outcome, reason, status, error });
    switch (state) {
      case 'delivered':
        return this.events.emit('delivered', report);
      case 'ready':
        return this.events.emit('retry', { ...report, retryInMs });
      case 'failed':
        this.logger.warn('a delivery failed for good', shown(report));
        return this.events.emit('failed', report);
      case 'dead':
        return this.dead(report);
    }
  }

  reclaimedDead(delivery: ReclaimedDelivery): void {
    this.dead(reportOf(delivery));
  }

  lost({ claim, attempts }: Held): void {
    const wasStarted = attempts > claim.attempts;
    const details = { deliveryId: claim.id, endpointId: claim.endpointId, wasStarted };
    this.logger.warn(
      'a lease was lost before its outcome was written; the delivery is sent again with the same id',
      details,
    );
    this.events.emit('leaseLost', details);
  }

  unusable(endpointId: string, error: string): void {
    this.logger.error('an endpoint cannot be signed for; its deliveries wait', { endpointId, error });
    this.events.emit('endpointUnusable', { endpointId, error });
  }

  failed(what: string, error: unknown): void {
    this.logger.warn(what, { error: describeError(error) });
  }

  private dead(report: DeadDelivery): void {
    this.logger.error('a delivery is dead', shown(report));
    this.events.emit('dead', report);
    void this.callOnDead(report);
  }

  private async callOnDead(report: DeadDelivery): Promise<void> {
    try {
      await this.onDead?.(report);
    } catch (error) {
      this.logger.error('onDead failed', { deliveryId: report.id, error: describeError(error) });
    }
  }
}

function reportOf(source: Omit<DeliveryReport, 'webhookId'>): DeliveryReport {
  const { id, outboxId, eventId, type, tenant, endpointId, attempts, outcome, reason, status, error } = source;
  const webhookId = webhookIdOf(outboxId, endpointId);
  return { id, webhookId, outboxId, eventId, type, tenant, endpointId, attempts, outcome, reason, status, error };
}

/** Without the receiver's words, which may quote the payload. */
function shown({ id, webhookId, type, endpointId, attempts, reason, status }: DeliveryReport): object {
  return { deliveryId: id, webhookId, type, endpointId, attempts, reason, status };
}
