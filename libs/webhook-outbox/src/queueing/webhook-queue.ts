/** What a queue carries: the name of an event that is stored. */
export interface QueuedWebhook {
  /** The event is stored under it: nobody inserts it again, and `deliver(outboxId)` sends it. */
  readonly outboxId?: string;
  /** Its dedupe key: the `id` given to `send`, or the one made there. */
  readonly id: string;
  readonly type: string;
  readonly tenant: string;
  /** Only without `outboxId`: the event could not be stored, and this message is all there is of it. */
  readonly data?: unknown;
}

/**
 * A queue of yours that tells some process to send an event: extend it, and give the class as `queue` to `WebhookOutboxModule`.
 *
 * - It is told after the commit, and told again by the sweep while deliveries are due: a message that is lost costs time, never an event.
 * - What it throws or rejects with is logged and counted; it never reaches whoever sent the event.
 * - Its consumer calls `WebhookOutboxService.deliver(outboxId)` and acknowledges when that returns, whatever it returns.
 */
export abstract class WebhookQueue {
  abstract send(message: QueuedWebhook): Promise<unknown> | void;
}
