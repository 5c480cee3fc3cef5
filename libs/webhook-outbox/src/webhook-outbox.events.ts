import type { DeadDelivery, DeliveryReport } from './delivering/delivery.js';
import type { DirectResult } from './sending-once/direct-requests.js';
import type { DrainReport } from './delivering/drain.js';

/** What `WebhookOutboxService.on` tells of, in this process. What became of a delivery is told after its write committed. */
export interface WebhookOutboxEvents {
  /** The receiver answered 2xx. */
  readonly delivered: DeliveryReport;
  /** Another attempt follows after `retryInMs`. */
  readonly retry: DeliveryReport & { readonly retryInMs: number };
  /** A final answer, or a destination that the guard refuses. */
  readonly failed: DeliveryReport;
  /** The schedule or the patience with crashes is used up. */
  readonly dead: DeadDelivery;
  /**
   * A delivery has failed or is dead, and its endpoint has `onDead: 'halt'`: later events of the key wait until somebody replays or abandons it. Told by the
   * process that found it so, once; the gauge `lines.halted` tells how many wait.
   */
  readonly lineHalted: { readonly endpointId: string; readonly orderKey: string; readonly deliveryId: string };
  /** A claim of this process ended before its outcome was written; the delivery is or will be sent again, with the same `webhook-id`. */
  readonly leaseLost: { readonly deliveryId: string; readonly endpointId: string; readonly wasStarted: boolean };
  /** The endpoint's secret cannot be opened: its deliveries wait, without an attempt counted, and the secret is tried again now and then. */
  readonly endpointUnusable: { readonly endpointId: string; readonly error: string };
  /** It answered 429 or 503 with `Retry-After`: nothing is sent to it for so long. */
  readonly endpointPaused: { readonly endpointId: string; readonly pauseMs: number };
  /** So many requests in a row failed that its breaker opened: its deliveries wait, but for one request now and then. */
  readonly endpointFailing: { readonly endpointId: string; readonly failures: number; readonly failingSince: Date };
  /** Nothing but failures for half of `disableAfter`, of at least ten events: it will be disabled, unless it says 2xx before. */
  readonly endpointDisabling: {
    readonly endpointId: string;
    readonly failingEvents: number;
    readonly failingSince: Date;
    readonly disablesAt: Date;
  };
  /** It answered 410 (`gone`), or there was nothing but failures for `disableAfter` (`failing`): its deliveries are parked. */
  readonly endpointDisabled: { readonly endpointId: string; readonly reason: 'gone' | 'failing' };
  /** It said 2xx after its breaker was open or its end was announced. */
  readonly endpointRecovered: { readonly endpointId: string };
  /** Your queue did not take an event; the sweep hands it over again. `outboxId` is null where the event could not be stored. */
  readonly handOffFailed: { readonly outboxId: string | null; readonly error: unknown };
  /** The last of the deliveries of an event was made that more than 200 endpoints want. */
  readonly fannedOut: {
    readonly outboxId: string;
    readonly eventId: string;
    readonly type: string;
    readonly tenant: string;
    readonly deliveries: number;
  };
  /**
   * An event could not be stored, and is sent once to so many endpoints, as they were `snapshotAgeMs` ago; both are `null` where your queue was
   * given it instead. With `PERSIST_UNKNOWN` as the error it may be stored all the same.
   */
  readonly unconfirmed: {
    readonly eventId: string;
    readonly type: string;
    readonly tenant: string;
    readonly endpoints: number | null;
    readonly snapshotAgeMs: number | null;
    readonly error: unknown;
  };
  /** What came of the one request that such an event had for an endpoint. */
  readonly unconfirmedEnded: DirectResult;
  /** LISTEN is active: at the start, and after each loss. */
  readonly listening: { readonly reconnects: number };
  /** The LISTEN connection is gone or could not be made; the poll goes on, and another attempt follows by itself. */
  readonly listenerLost: { readonly error: unknown };
  /** A look for due deliveries failed; the next one follows by itself. */
  readonly pollFailed: { readonly error: unknown };
  /** Outcomes could not be written; they are kept, and tried again while their leases live. */
  readonly settleFailed: { readonly error: unknown; readonly waiting: number };
  /** Removing what has been kept long enough failed; the next cleanup goes on. */
  readonly cleanupFailed: { readonly error: unknown };
  /** The relay has ended with the application: what became of the claims it held. */
  readonly stopped: DrainReport;
}
