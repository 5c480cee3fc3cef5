import type { DeadDelivery, DeliveryReport } from './delivering/delivery.js';

/** What `WebhookOutboxService.on` tells of, in this process. Each is emitted after its write committed. */
export interface WebhookOutboxEvents {
  /** The receiver answered 2xx. */
  readonly delivered: DeliveryReport;
  /** Another attempt follows after `retryInMs`. */
  readonly retry: DeliveryReport & { readonly retryInMs: number };
  /** A final answer, or a destination that the guard refuses. */
  readonly failed: DeliveryReport;
  /** The schedule or the patience with crashes is used up. */
  readonly dead: DeadDelivery;
  /** A claim of this process ended before its outcome was written; the delivery is or will be sent again, with the same `webhook-id`. */
  readonly leaseLost: { readonly deliveryId: string; readonly endpointId: string; readonly wasStarted: boolean };
  /** The endpoint's secret cannot be opened: its deliveries wait, without an attempt counted, and the secret is tried again now and then. */
  readonly endpointUnusable: { readonly endpointId: string; readonly error: string };
}
