/**
 * Where a delivery, one event for one endpoint, stands.
 *
 * `queued`: of an endpoint with an order, ended when those of its key before it have ended, or when it is put aside.
 * `ready`: due at some time, ended by a claim. `leased`: one relay sends it, ended by its settle or by the lease's expiry.
 * `parked`: kept for an endpoint that is disabled, ended by a replay, an abandonment or its retention.
 * Terminal: `delivered` (the receiver answered 2xx), `failed` (a final answer, 3xx included), `dead` (the schedule or the patience with
 * crashes is used up), `abandoned` (its endpoint was deleted, or somebody asked for it), `expired` (parked for
 * longer than its retention). A replay makes each of them `ready` again, or `queued` at its old place.
 */
export type DeliveryState =
  'queued' | 'ready' | 'leased' | 'parked' | 'delivered' | 'failed' | 'dead' | 'abandoned' | 'expired';

/** What the last attempt came to. `unknown`: a request was started, and nobody lived to record its answer. */
export type AttemptOutcome = 'delivered' | 'failed' | 'retry' | 'unknown';

/** Why a delivery ended, or waits for another attempt. */
export type DeliveryReason =
  | 'answered'
  | 'redirected'
  | 'timeout'
  | 'network'
  | 'refused-destination'
  | 'event-missing'
  | 'exhausted'
  | 'crash-loop'
  | 'given-up';

/** Why a delivery is `parked` or `abandoned`; `abandoned`: somebody asked for it. */
export type PutAsideReason = 'endpoint-disabled' | 'endpoint-deleted' | 'abandoned';

/** As `DeliveryReason`; for the outcome `unknown`: the process was gone or stalled, or its shutdown cut the request. */
export type AttemptReason = DeliveryReason | 'lease-lost' | 'cut';

/** One delivery and what became of it. Holds no payload, URL or secret. */
export interface DeliveryReport {
  readonly id: string;
  /** What receivers see as `webhook-id`: the same for each attempt of this delivery. */
  readonly webhookId: string;
  readonly outboxId: string;
  /** The dedupe key of the event: the `id` given to `send`, or the one made there. */
  readonly eventId: string;
  readonly type: string;
  readonly tenant: string;
  readonly endpointId: string;
  /** Requests started. */
  readonly attempts: number;
  readonly outcome: AttemptOutcome | null;
  readonly reason: DeliveryReason;
  /** Of the answer, when there was one. */
  readonly status: number | null;
  /** At most 1 000 characters, sanitised; may quote the receiver's answer. */
  readonly error: string | null;
}

/** Given up: nothing sends it again. */
export type DeadDelivery = DeliveryReport;

/** The names that a report takes from the event and the endpoint, which a claim brings along. */
export interface DeliveryNames {
  readonly id: string;
  readonly outboxId: string;
  readonly eventId: string;
  readonly type: string;
  readonly tenant: string;
  readonly endpointId: string;
}
