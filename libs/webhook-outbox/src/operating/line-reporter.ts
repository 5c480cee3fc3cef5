import type { Metrics, TypedEvents } from '@nest-baton/core';
import type { Logger } from '@nestjs/common';
import type { HaltedLine } from '../ordering/line-store.js';
import type { WebhookOutboxEvents } from '../webhook-outbox.events.js';
import type { WEBHOOK_OUTBOX_METRICS } from '../webhook-outbox.metrics.js';

/** Tells the log, the listeners and the instruments what becomes of lines. A key may be somebody's name: it is not logged. */
export class LineReporter {
  constructor(
    private readonly events: TypedEvents<WebhookOutboxEvents>,
    private readonly metrics: Metrics<typeof WEBHOOK_OUTBOX_METRICS>,
    private readonly logger: Logger,
  ) {}

  promoted(count: number, foundBy: 'told' | 'sweep'): void {
    this.metrics.add('deliveries.promoted', count, foundBy);
  }

  halted({ endpointId, orderKey, deliveryId }: HaltedLine): void {
    this.logger.error('a line halts until somebody replays or abandons the delivery', { endpointId, deliveryId });
    this.events.emit('lineHalted', { endpointId, orderKey, deliveryId });
  }
}
