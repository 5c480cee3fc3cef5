import { describeError, type Metrics, type TypedEvents } from '@nest-baton/core';
import type { Logger } from '@nestjs/common';
import type { NewEvent } from '../producing/event-batch.js';
import type { DirectResult } from '../sending-once/direct-requests.js';
import type { SnapshotHooks } from '../sending-once/endpoint-snapshot.js';
import type { WebhookOutboxEvents } from '../webhook-outbox.events.js';
import type { WEBHOOK_OUTBOX_METRICS } from '../webhook-outbox.metrics.js';

/** Tells the log, the listeners and the instruments what becomes of events that could not be stored. */
export class SendOnceReporter implements SnapshotHooks {
  constructor(
    private readonly events: TypedEvents<WebhookOutboxEvents>,
    private readonly metrics: Metrics<typeof WEBHOOK_OUTBOX_METRICS>,
    private readonly logger: Logger,
  ) {}

  /** @param endpoints that each event is sent to; `null`: the queue has it. */
  unconfirmed(
    all: readonly NewEvent[],
    endpoints: readonly (number | null)[],
    snapshotAgeMs: number | null,
    error: unknown,
  ): void {
    const details = { events: all.length, eventId: all[0]?.key, snapshotAgeMs, error: describeError(error) };
    this.logger.error('events could not be stored; they are sent once, and nobody knows whether they arrive', details);
    all.forEach(({ key: eventId, type, tenant }, nth) =>
      this.events.emit('unconfirmed', {
        eventId,
        type,
        tenant,
        endpoints: endpoints[nth] ?? null,
        snapshotAgeMs,
        error,
      }),
    );
  }

  readonly onEnded = (result: DirectResult): void => {
    this.metrics.add('unconfirmed.requests', 1, result.outcome);
    if (result.outcome !== 'delivered')
      this.logger.warn('an event that could not be stored was not delivered, and is not sent again', result);
    this.events.emit('unconfirmedEnded', result);
  };

  readonly onFailed = (error: unknown): void => {
    const what = 'reading the endpoints failed; the older snapshot of them is kept for up to ten minutes';
    this.logger.warn(what, { error: describeError(error) });
  };

  readonly onTooMany = (most: number): void => {
    this.logger.error('there are too many endpoints to keep; events that cannot be stored are not sent', { most });
  };
}
