import type { GaugeReadings } from '@nest-baton/core';
import type { HandoffStats } from '../partitions/handoff-stats.js';
import type { REDIS_RECONCILE_METRICS } from '../redis-reconcile.metrics.js';
import type { HandoffEngine } from '../running/handoff-engine.js';

type Gauges = GaugeReadings<typeof REDIS_RECONCILE_METRICS>;

/** What this process knows without asking. */
export function localGauges(engine: HandoffEngine | undefined, isAvailable: boolean): Gauges {
  return {
    'handoffs.owned': engine?.keeper.size,
    'expiry_events.covered': engine?.coverage && Number(engine.coverage.isCovered),
    'connection.up': Number(isAvailable),
  };
}

/** What all processes of the instance see alike. Pure. */
export function sharedGauges({ queued, pending, waiting, held, dead, lagMs }: HandoffStats): Gauges {
  return {
    'handoffs.queued': queued,
    'handoffs.pending': pending,
    'handoffs.waiting': waiting,
    'handoffs.held': held,
    'handoffs.dead': dead,
    lag: lagMs / 1000,
  };
}
