import type { TransactionLike } from '@nest-baton/core';

/** Something that happened, as a user of the module sends it. */
export interface WebhookEvent {
  /** Dot-delimited words of letters, digits and underscores, such as `run.done`; at most 128 characters. */
  readonly type: string;
  /** Whose endpoints get it. Default: the tenant `''`, never all tenants. */
  readonly tenant?: string;
  /** Anything `JSON.stringify` can write, at most `maxPayloadBytes` as JSON. */
  readonly data: unknown;
  /** Dedupe key in its tenant, at most 256 characters. The same id with other data is a conflict. */
  readonly id?: string;
  /**
   * What it is about, such as the id of an order; at most 256 characters. Endpoints with `order: 'strict'` get the events of a key one after another, in
   * the order in which they were committed; until its commit a transaction keeps others from adding to the key.
   */
  readonly orderKey?: string;
}

export interface SendOptions {
  /** The caller's open transaction on the module's `DataSource`: the event is durable if and only if it commits. */
  readonly transaction?: TransactionLike;
  /** Of this call, instead of the option: `throw` where the caller keeps the event, as the consumer of a queue does. */
  readonly onPersistFailure?: 'throw';
}

export interface SentEvent {
  /** The caller's `id`, or one made here. Not the `webhook-id` that receivers see. */
  readonly id: string;
  /** The stored event; `null` when nobody subscribed, or it could not be stored. */
  readonly outboxId: string | null;
  /** Deliveries made of it, or, when it is `unconfirmed`, requests that are made once, `null` when your queue has it; `null`: more than 200 endpoints want it, and a relay is making the rest of them. */
  readonly deliveries: number | null;
  /** An event with this id was stored before; nothing was written. */
  readonly duplicate: boolean;
  /** `unconfirmed`: it could not be stored, and is sent once; nobody knows whether it arrives. Only with `onPersistFailure: 'send-once'`. */
  readonly state: 'persisted' | 'nobody_subscribed' | 'unconfirmed';
}
