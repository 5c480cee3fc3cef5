import { systemClock, type TimeoutRegistry } from '@nest-baton/core';
import type { ClaimsUnderWay } from '../consuming/claims-under-way.js';
import type { EndpointDirectory } from '../endpoints/endpoint-directory.js';
import { EndpointHealthStore } from '../endpoint-health/endpoint-health-store.js';
import type { OutboxSpans } from '../operating/outbox-spans.js';
import type { DeliveryReporter } from '../operating/delivery-reporter.js';
import type { Promoter } from '../ordering/promoter.js';
import type { ReclaimedDelivery, ReclaimStore } from '../reclaiming/reclaim-store.js';
import type { OutboxDatabase } from '../schema/outbox-database.js';
import { TracedSender } from '../sending/traced-sender.js';
import type { ResolvedWebhookOutboxOptions } from '../webhook-outbox.options.js';
import { type ClaimedDelivery, type Claims, ClaimStore } from '../claiming/claim-store.js';
import { ClaimsByLimit } from '../claiming/claims-by-limit.js';
import { LimitedCircle } from '../claiming/limited-circle.js';
import type { Settlement } from '../outcomes/outcome.js';
import { DeliveryStore } from './delivery-store.js';
import type { Held } from './held-deliveries.js';
import { MAX_REQUESTS, Relay } from './relay.js';

export interface RelaySetup {
  readonly name: string;
  readonly options: ResolvedWebhookOutboxOptions;
  readonly database: OutboxDatabase;
  readonly directory: EndpointDirectory;
  readonly reclaims: ReclaimStore;
  readonly reporter: DeliveryReporter;
  readonly registry: TimeoutRegistry | undefined;
  /** What it may claim; undefined: whatever is due. */
  readonly claims: Claims | undefined;
  readonly underWay: ClaimsUnderWay;
  readonly spans: OutboxSpans;
  readonly promoter: Promoter;
  /** Deliveries of an event wait to be made. */
  readonly onFanOutDue: () => void;
}

/** A relay over the module's database, telling the reporter. */
export function createRelay(setup: RelaySetup): Relay {
  const { name, options, database, directory, reclaims, reporter, registry, underWay, promoter } = setup;
  const { schema } = database;
  const parts = {
    claims: setup.claims ?? whateverIsDue(database, reporter),
    store: new DeliveryStore(database.repeated, schema, options.retention.delivered === 0),
    health: new EndpointHealthStore(database, schema, options),
    reclaims,
    directory,
    sender: new TracedSender({ ...options, maxConnections: MAX_REQUESTS }, systemClock, setup.spans),
  };
  const hooks = {
    onSettled: (held: Held, settlement: Settlement) => {
      reporter.settled(held, settlement);
      promoter.settled(held.claim.lineId, settlement.state);
    },
    onReclaimedDead: (delivery: ReclaimedDelivery) => {
      reporter.reclaimedDead(delivery);
      promoter.settled(delivery.lineId, delivery.state);
    },
    onLookedForQueued: promoter.sweep.bind(promoter),
    onPutAside: reporter.endpoints.putAside.bind(reporter.endpoints),
    onFanOutDue: setup.onFanOutDue,
    onLate: reporter.late.bind(reporter),
    onLost: reporter.lost.bind(reporter),
    onUnwritable: reporter.unwritable.bind(reporter),
    onError: reporter.failed.bind(reporter),
    onPollFailed: reporter.pollFailed.bind(reporter),
    onSettleFailed: reporter.settleFailed.bind(reporter),
    onClaimed: (claims: readonly ClaimedDelivery[]) => {
      underWay.begun(claims);
      reporter.claimed(claims);
    },
    onEnded: underWay.ended.bind(underWay),
    onRequestEnded: reporter.requestEnded.bind(reporter),
    onHealthChanged: reporter.endpoints.healthChanged.bind(reporter.endpoints),
  };
  return new Relay(name, options, parts, hooks, registry);
}

function whateverIsDue(database: OutboxDatabase, reporter: DeliveryReporter): Claims {
  const onFoundLate = reporter.foundLate.bind(reporter);
  return new ClaimsByLimit(
    new ClaimStore(database.repeated, database.schema, onFoundLate),
    new LimitedCircle(database.repeated, database.schema, onFoundLate),
  );
}
