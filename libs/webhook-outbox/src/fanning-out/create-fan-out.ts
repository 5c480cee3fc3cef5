import type { TimeoutRegistry } from '@nest-baton/core';
import type { DeliveryReporter } from '../operating/delivery-reporter.js';
import type { Queueing } from '../queueing/queueing.js';
import type { WakeUps } from '../waking/wake-ups.js';
import { FanOut } from './fan-out.js';
import type { FannedOut, FanOutStore } from './fan-out-store.js';

export interface FanOutParts {
  readonly name: string;
  readonly store: FanOutStore;
  readonly leaseMs: number;
  readonly registry: TimeoutRegistry | undefined;
  readonly reporter: DeliveryReporter;
  readonly queueing: Queueing;
  readonly wakeUps: () => WakeUps;
}

/** A fan-out that tells relays of what it makes, and a queue and the reporter of what is complete. */
export function createFanOut({ reporter, queueing, wakeUps, ...setup }: FanOutParts): FanOut {
  const onFannedOut = ({ outboxId, id: key, type, tenant, deliveries }: FannedOut): void => {
    if (key === null || type === null || tenant === null) return;
    queueing.committed([{ outboxId, key, type, tenant }]);
    reporter.fannedOut({ outboxId, eventId: key, type, tenant, deliveries });
  };
  const { fanOutLost: onLost, fanOutFailed: onFailed } = reporter;
  return new FanOut({ ...setup, hooks: { onMade: () => wakeUps().committed(), onFannedOut, onLost, onFailed } });
}
