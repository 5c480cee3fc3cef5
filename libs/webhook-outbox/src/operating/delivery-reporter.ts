import { type Clock, describeError, Metrics, secondsSince, TypedEvents } from '@nest-baton/core';
import { Logger } from '@nestjs/common';
import { webhookIdOf } from '../signing/signature.js';
import type { WebhookOutboxEvents } from '../webhook-outbox.events.js';
import { type RequestOutcome, WEBHOOK_OUTBOX_METRICS } from '../webhook-outbox.metrics.js';
import type { SentEvent } from '../producing/webhook-event.js';
import type { DeadDelivery, DeliveryReport } from '../delivering/delivery.js';
import type { ClaimedDelivery } from '../claiming/claim-store.js';
import type { DrainReport } from '../delivering/drain.js';
import type { Held } from '../delivering/held-deliveries.js';
import type { Settlement } from '../outcomes/outcome.js';
import type { GivenUpDelivery } from '../sweeping/hand-off-store.js';
import type { ReclaimedDelivery } from '../reclaiming/reclaim-store.js';
import type { ResolvedWebhookOutboxOptions } from '../webhook-outbox.options.js';
import { CleanupReporter } from './cleanup-reporter.js';
import { EndpointReporter } from './endpoint-reporter.js';
import { HandOffReporter } from './hand-off-reporter.js';
import { LineReporter } from './line-reporter.js';
import { SendOnceReporter } from './send-once-reporter.js';

/** Tells the log, the listeners, the instruments and `onDead` what happens. What any of them throws is logged and reaches nothing else. */
export class DeliveryReporter {
  readonly events: TypedEvents<WebhookOutboxEvents>;
  readonly metrics: Metrics<typeof WEBHOOK_OUTBOX_METRICS>;
  readonly endpoints: EndpointReporter;
  readonly handOffs: HandOffReporter;
  readonly cleanup: CleanupReporter;
  readonly sendOnce: SendOnceReporter;
  readonly lines: LineReporter;

  constructor(
    name: string,
    private readonly logger: Logger,
    private readonly options: Pick<ResolvedWebhookOutboxOptions, 'onDead' | 'disableAfterMs'>,
    private readonly clock: Clock,
  ) {
    this.metrics = new Metrics(WEBHOOK_OUTBOX_METRICS, name);
    this.events = new TypedEvents((event, error) =>
      logger.error('a listener failed', { event, error: describeError(error) }),
    );
    this.handOffs = new HandOffReporter(this.events, this.metrics, logger);
    this.sendOnce = new SendOnceReporter(this.events, this.metrics, logger);
    this.lines = new LineReporter(this.events, this.metrics, logger);
    this.cleanup = new CleanupReporter(this.events, this.metrics, logger);
    this.endpoints = new EndpointReporter(this.events, this.metrics, logger, options.disableAfterMs);
  }

  sent({ duplicate, state }: SentEvent): void {
    this.metrics.add('events.sent', 1, duplicate ? 'duplicate' : state);
  }

  claimed(claims: readonly ClaimedDelivery[]): void {
    for (const { waitedMs } of claims) this.metrics.record('claim.delay', waitedMs / 1_000);
  }

  foundLate(count: number): void {
    this.metrics.add('claims.found_late', count);
  }

  requestEnded(outcome: RequestOutcome, startedAtMs: number): void {
    this.metrics.record('request.duration', secondsSince(startedAtMs, this.clock), outcome);
  }

  settled({ claim, attempts, webhookId }: Held, settlement: Settlement): void {
    const { outcome, reason, status, error, retryInMs, state } = settlement;
    const { id, outboxId, eventId, type, tenant, endpointId } = claim;
    const report = {
      id,
      webhookId,
      outboxId,
      eventId,
      type,
      tenant,
      endpointId,
      attempts,
      outcome,
      reason,
      status,
      error,
    };
    switch (state) {
      case 'delivered':
        this.metrics.add('deliveries.settled', 1, 'delivered');
        return this.events.emit('delivered', report);
      case 'ready':
        return this.events.emit('retry', { ...report, retryInMs });
      case 'failed':
        this.logger.warn('a delivery failed for good', shown(report));
        this.countGivenUp('failed', report);
        return this.events.emit('failed', report);
      case 'dead':
        return this.dead(report);
    }
  }

  reclaimedDead(delivery: ReclaimedDelivery | GivenUpDelivery): void {
    this.dead(reportOf(delivery));
  }

  /** Whoever holds the delivery now decides what becomes of it. */
  late({ claim, attempts }: Held, { outcome, reason, status }: Settlement): void {
    const details = { deliveryId: claim.id, endpointId: claim.endpointId, attempt: attempts, outcome, reason, status };
    this.logger.warn('an outcome came after its lease had ended; it is in the history as late', details);
    this.metrics.add('outcomes.late', 1, outcome);
  }

  unwritable({ claim }: Held, error: unknown): void {
    const details = { deliveryId: claim.id, error: describeError(error) };
    this.logger.error(
      'the database refuses an outcome; the delivery is sent again when its lease has expired',
      details,
    );
  }

  lost({ claim, attempts }: Held): void {
    const wasStarted = attempts > claim.attempts;
    const details = { deliveryId: claim.id, endpointId: claim.endpointId, wasStarted };
    this.logger.warn(
      'a lease was lost before its outcome was written; the delivery is sent again with the same id',
      details,
    );
    this.metrics.add('leases.lost', 1);
    this.events.emit('leaseLost', details);
  }

  fannedOut(event: WebhookOutboxEvents['fannedOut']): void {
    this.metrics.add('fan_outs.completed', 1);
    this.events.emit('fannedOut', event);
  }

  readonly fanOutLost = (outboxId: string): void => {
    this.logger.warn('making the deliveries of an event took longer than its lease; another relay goes on', {
      outboxId,
    });
  };

  readonly fanOutFailed = (error: unknown): void => {
    this.failed('making the deliveries of an event failed; it goes on when its lease has ended', error);
    this.events.emit('pollFailed', { error });
  };

  listening(reconnects: number): void {
    this.events.emit('listening', { reconnects });
  }

  listenerLost(error: unknown): void {
    this.failed('LISTEN was lost; the poll goes on', error);
    this.events.emit('listenerLost', { error });
  }

  pollFailed(error: unknown): void {
    this.failed('looking for due deliveries failed; the poll goes on', error);
    this.events.emit('pollFailed', { error });
  }

  settleFailed(error: unknown, waiting: number): void {
    this.failed(`writing ${waiting} outcome(s) failed; they are kept and tried again`, error);
    this.events.emit('settleFailed', { error, waiting });
  }

  stopped(report: DrainReport): void {
    const level = report.cut + report.unsettled > 0 ? 'warn' : 'log';
    this.logger[level]('the relay has stopped', report);
    for (const outcome of ['released', 'cut', 'unsettled'] as const)
      if (report[outcome] > 0) this.metrics.add('shutdown.left', report[outcome], outcome);
    this.events.emit('stopped', report);
  }

  failed(what: string, error: unknown): void {
    this.logger.warn(what, { error: describeError(error) });
  }

  private dead(report: DeadDelivery): void {
    this.logger.error('a delivery is dead', shown(report));
    this.countGivenUp('dead', report);
    this.events.emit('dead', report);
    void this.callOnDead(report);
  }

  private countGivenUp(state: 'failed' | 'dead', { reason }: DeliveryReport): void {
    this.metrics.add('deliveries.settled', 1, state);
    // Timeouts and network errors are tried again: when they are the last, the reason is the schedule's end.
    if (reason !== 'timeout' && reason !== 'network') this.metrics.add('deliveries.given_up', 1, reason);
  }

  private async callOnDead(report: DeadDelivery): Promise<void> {
    try {
      await this.options.onDead?.(report);
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
