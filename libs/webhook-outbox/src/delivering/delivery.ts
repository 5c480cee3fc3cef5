/**
 * Where a delivery, one event for one endpoint, stands.
 *
 * `ready`: due at some time, ended by a claim. `leased`: one relay sends it, ended by its settle or by the lease's expiry.
 * Terminal: `delivered` (the receiver answered 2xx), `failed` (a final answer, 3xx included), `dead` (the schedule or the patience with
 * crashes is used up).
 */
export type DeliveryState = 'ready' | 'leased' | 'delivered' | 'failed' | 'dead';
