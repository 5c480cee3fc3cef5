import type { GaugeReadings } from '@nest-baton/core';
import type { HandoffStats } from '../partitions/handoff-stats.js';
import type { REDIS_RECONCILE_METRICS } from '../redis-reconcile.metrics.js';
import type { HandoffEngine } from '../running/handoff-engine.js';
import type { TopologyReport } from '../topology/topology-report.js';

type Gauges = GaugeReadings<typeof REDIS_RECONCILE_METRICS>;

/** What this process knows without asking. */
export function localGauges(
  engine: HandoffEngine | undefined,
  isAvailable: boolean,
  topology: TopologyReport | undefined,
  isDraining: boolean,
): Gauges {
  return {
    'topology.masters': topology?.masters,
    'topology.masters_subscribed': topology?.subscribed,
    'topology.settled': topology && Number(topology.isSettled),
    'handoffs.owned': engine?.keeper.size,
    'expiry_events.covered': engine?.coverage && Number(engine.coverage.isCovered),
    'repartition.draining': Number(isDraining),
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
