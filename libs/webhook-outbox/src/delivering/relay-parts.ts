import type { ClaimedDelivery, Claims } from '../claiming/claim-store.js';
import type { EndpointHealthStore, HealthChange } from '../endpoint-health/endpoint-health-store.js';
import type { EndpointDirectory } from '../endpoints/endpoint-directory.js';
import type { Settlement } from '../outcomes/outcome.js';
import type { ReclaimStore } from '../reclaiming/reclaim-store.js';
import type { UpkeepHooks } from '../reclaiming/upkeep.js';
import type { HttpSender } from '../sending/http-sender.js';
import type { RequestOutcome } from '../webhook-outbox.metrics.js';
import type { DeliveryStore } from './delivery-store.js';
import type { Held } from './held-deliveries.js';

export interface RelayParts {
  readonly claims: Claims;
  readonly store: DeliveryStore;
  readonly health: EndpointHealthStore;
  readonly reclaims: ReclaimStore;
  readonly directory: EndpointDirectory;
  readonly sender: HttpSender;
}

export interface RelayHooks extends UpkeepHooks {
  readonly onSettled: (held: Held, settlement: Settlement) => void;
  readonly onLate: (held: Held, settlement: Settlement) => void;
  readonly onLost: (held: Held) => void;
  readonly onUnwritable: (held: Held, error: unknown) => void;
  readonly onError: (what: string, error: unknown) => void;
  readonly onPollFailed: (error: unknown) => void;
  readonly onSettleFailed: (error: unknown, waiting: number) => void;
  readonly onClaimed: (claims: readonly ClaimedDelivery[]) => void;
  /** Settled, handed back or lost: it is not in the hands of this process any more. */
  readonly onEnded: (claim: ClaimedDelivery) => void;
  readonly onRequestEnded: (outcome: RequestOutcome, startedAtMs: number) => void;
  readonly onHealthChanged: (change: HealthChange) => void;
}

export interface RelayStats {
  readonly inFlight: number;
  readonly buffered: number;
  readonly unsettled: number;
  /** Claims of this process that ended before their outcome was written. */
  readonly leasesLost: number;
}
