import { describeError, type Metrics, type TypedEvents } from '@nest-baton/core';
import type { Logger } from '@nestjs/common';
import type { QueuedWebhook } from '../queueing/webhook-queue.js';
import type { WebhookOutboxEvents } from '../webhook-outbox.events.js';
import type { HandOffOutcome, WEBHOOK_OUTBOX_METRICS } from '../webhook-outbox.metrics.js';

/** Tells the log, the listeners and the instruments what becomes of events on their way to a queue. */
export class HandOffReporter {
  constructor(
    private readonly events: TypedEvents<WebhookOutboxEvents>,
    private readonly metrics: Metrics<typeof WEBHOOK_OUTBOX_METRICS>,
    private readonly logger: Logger,
  ) {}

  onEnded(outcome: HandOffOutcome): void {
    this.metrics.add('hand_offs', 1, outcome);
  }

  onFailed({ outboxId: given, type }: QueuedWebhook, error: unknown): void {
    const outboxId = given ?? null;
    const isStored = outboxId !== null;
    const what = `the queue did not take an event${isStored ? '; the sweep hands it over again' : ' that could not be stored'}`;
    this.logger.warn(what, { outboxId, type, error: describeError(error) });
    this.events.emit('handOffFailed', { outboxId, error });
  }

  onSwept(count: number): void {
    this.metrics.add('events.swept', count);
    this.logger.debug('events are handed over again', { count });
  }

  onRescheduled(outboxId: string, error: unknown): void {
    this.logger.warn('an event that was swept is swept again later', { outboxId, error: describeError(error) });
  }
}
