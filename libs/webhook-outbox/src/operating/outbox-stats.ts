import type { DeliveryState } from '../delivering/delivery.js';
import type { RelayStats } from '../delivering/relay-parts.js';
import type { DeliveryCounts } from '../reclaiming/reclaim-store.js';
import type { SnapshotFacts } from '../sending-once/endpoint-snapshot.js';

export interface OutboxStats {
  /** Age of the oldest delivery that is due and not claimed; 0 when none is. */
  readonly lagMs: number;
  readonly byState: Readonly<Record<DeliveryState, number>>;
  /** Events that more than 200 endpoints want, and of which a relay has still to make deliveries. */
  readonly pendingFanOuts: number;
  /**
   * Keys of endpoints with an order whose events wait until somebody replays or abandons what was given up, as this process found in its last round;
   * `undefined` before it, and where no relay runs.
   */
  readonly haltedLines: number | undefined;
  /** With `onPersistFailure: 'send-once'`: what this process knows of the endpoints. */
  readonly endpointSnapshot: SnapshotFacts | undefined;
  /** Of this process; `undefined` where no relay runs. */
  readonly relay: RelayStats | undefined;
}

/** Every state, also one that no delivery is in; pure. */
export function statesOf(byState: DeliveryCounts['byState']): OutboxStats['byState'] {
  const counts: Record<DeliveryState, number> = {
    queued: 0,
    ready: 0,
    leased: 0,
    parked: 0,
    delivered: 0,
    failed: 0,
    dead: 0,
    abandoned: 0,
    expired: 0,
  };
  for (const { state, count } of byState) counts[state as DeliveryState] = count;
  return counts;
}
