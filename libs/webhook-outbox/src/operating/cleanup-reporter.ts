import { describeError, type Metrics, type TypedEvents } from '@nest-baton/core';
import type { Logger } from '@nestjs/common';
import type { CleanerHooks } from '../retaining/cleaner.js';
import { REMOVABLE, type Removed } from '../retaining/retention-store.js';
import type { WebhookOutboxEvents } from '../webhook-outbox.events.js';
import type { WEBHOOK_OUTBOX_METRICS } from '../webhook-outbox.metrics.js';

/** Tells the log, the listeners and the instruments what becomes of what was kept. A failure is logged when the one before succeeded. */
export class CleanupReporter implements CleanerHooks {
  private isFailureLogged = false;

  constructor(
    private readonly events: TypedEvents<WebhookOutboxEvents>,
    private readonly metrics: Metrics<typeof WEBHOOK_OUTBOX_METRICS>,
    private readonly logger: Logger,
  ) {}

  readonly onExpired = (count: number): void => {
    this.logger.warn('parked deliveries have expired: their endpoints stayed disabled', { count });
    this.metrics.add('deliveries.expired', count);
  };

  readonly onRemoved = ({ deliveries, events }: Pick<Removed, 'deliveries' | 'events'>): void => {
    for (const state of REMOVABLE) {
      const count = deliveries[state] ?? 0;
      if (count > 0) this.metrics.add('deliveries.removed', count, state);
    }
    if (events > 0) this.metrics.add('events.removed', events);
  };

  readonly onFailed = (error: unknown): void => {
    if (!this.isFailureLogged)
      this.logger.warn('a cleanup failed; the next one goes on', { error: describeError(error) });
    this.isFailureLogged = true;
    this.metrics.add('cleanup.failures', 1);
    this.events.emit('cleanupFailed', { error });
  };

  readonly onSucceeded = (): void => {
    this.isFailureLogged = false;
  };
}
