import type {
  AttemptOutcome,
  DeliveryNames,
  DeliveryReason,
  DeliveryState,
  PutAsideReason,
} from '../delivering/delivery.js';

/** A delivery as it stands. Holds no payload, URL or secret. */
export interface StoredDelivery extends DeliveryNames {
  /** What receivers see as `webhook-id`: the same for each attempt, also after a replay. */
  readonly webhookId: string;
  readonly state: DeliveryState;
  /** In whose line it has its place; `null`: its endpoint wants no order, or its event has no key. */
  readonly orderKey: string | null;
  /** Requests started since it was sent or, if it was, replayed. */
  readonly attempts: number;
  /** Of the last attempt. */
  readonly outcome: AttemptOutcome | null;
  readonly reason: DeliveryReason | PutAsideReason | null;
  readonly status: number | null;
  /** At most 1 000 characters, sanitised; may quote the receiver's answer. */
  readonly error: string | null;
  /** Of one that is `ready`: not before. */
  readonly nextAt: Date;
  /** Of one that is `leased`. */
  readonly leaseUntil: Date | null;
  readonly createdAt: Date;
  /** When it came into the state it is in, unless that is `queued`, `ready` or `leased`. */
  readonly settledAt: Date | null;
}

/** Newest first. */
export interface DeliveryPage {
  readonly deliveries: readonly StoredDelivery[];
  /** For the next page; `null` after the last. */
  readonly nextCursor: string | null;
}

/** What a call may see. */
export interface TenantScope {
  /** Only what is of this tenant is there; anything else is as if it did not exist. Left out: all tenants. */
  readonly tenant?: string;
}

export interface PageOptions {
  /** 1 to 500. Default 50. */
  readonly limit?: number;
  /** `nextCursor` of the page before. It holds a position and no right: the filter decides what is seen. */
  readonly cursor?: string;
}

/** The states in which nobody will send a delivery. */
export const REPLAYABLE = [
  'parked',
  'delivered',
  'failed',
  'dead',
  'abandoned',
  'expired',
] as const satisfies readonly DeliveryState[];

/** The states in which a delivery is not over, and in nobody's hands. */
export const ABANDONABLE = ['queued', 'ready', 'parked'] as const satisfies readonly DeliveryState[];

/** The states in which others of its key may wait for a delivery although it is over. */
export const IN_THE_WAY = ['failed', 'dead', 'expired'] as const satisfies readonly DeliveryState[];
