import type { NewEvent } from '../producing/event-batch.js';

/** Events of which it is remembered; the oldest leave first. */
const MOST = 10_000;

/**
 * The names, from which receivers' `webhook-id` is made, of events that could not be stored: sent again under its `id` from this process, an event has the
 * same, so that receivers know it.
 */
export class RememberedIds {
  private readonly outboxIds = new Map<string, string>();

  remember(events: readonly NewEvent[]): void {
    for (const event of events) {
      this.outboxIds.set(nameOf(event), event.outboxId);
      const oldest = this.outboxIds.keys().next();
      if (this.outboxIds.size > MOST && oldest.done !== true) this.outboxIds.delete(oldest.value);
    }
  }

  forget(events: readonly NewEvent[]): void {
    if (this.outboxIds.size > 0) for (const event of events) this.outboxIds.delete(nameOf(event));
  }

  named(events: readonly NewEvent[]): readonly NewEvent[] {
    if (this.outboxIds.size === 0) return events;
    return events.map((event) => ({ ...event, outboxId: this.outboxIds.get(nameOf(event)) ?? event.outboxId }));
  }
}

/** Of the content too: other content under the same id is another event. */
function nameOf({ tenant, key, contentHash }: NewEvent): string {
  return `${tenant}\0${key}\0${contentHash.toString('base64')}`;
}
