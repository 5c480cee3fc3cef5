import type { DeliveryReporter } from '../operating/delivery-reporter.js';
import type { Queueing } from '../queueing/queueing.js';
import type { OutboxDatabase } from '../schema/outbox-database.js';
import type { WakeUps } from '../waking/wake-ups.js';
import { LineStore } from './line-store.js';
import { Promoter } from './promoter.js';

export interface PromoterParts {
  readonly database: OutboxDatabase;
  readonly reporter: DeliveryReporter;
  readonly queueing: Queueing;
  readonly wakeUps: () => WakeUps;
}

/** A promoter that tells relays, or a queue, and the reporter of what has its turn. */
export function createPromoter({ database, reporter, queueing, wakeUps }: PromoterParts): Promoter {
  return new Promoter(new LineStore(database, database.schema), {
    onPromoted: (events, foundBy) => {
      reporter.lines.promoted(events.length, foundBy);
      wakeUps().committed();
      queueing.committed(events);
    },
    onHalted: (line) => reporter.lines.halted(line),
    onFailed: (error) => reporter.failed('looking for whose turn it is failed; it is looked for again', error),
  });
}
