import type { IncomingHttpHeaders } from 'node:http';
import type { Exchange } from '../http/exchange.js';
import type { Verification } from './signatures.js';

/** A request as it came, and what became of it. */
export interface ReceivedWebhook {
  readonly method: string;
  /** With the query string. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** To the byte, as the signature is over bytes; as far as it was read. */
  readonly body: Buffer;
  /** Whether the body was read to its end. */
  readonly isWhole: boolean;
  /** Milliseconds since the epoch: when its body, or as much as was wanted of it, had come. */
  readonly receivedAt: number;
  /** Its `webhook-id`, if it has one. */
  readonly id: string | undefined;
  /** How many requests with this `webhook-id` had come, this one included; 1 without an id. */
  readonly attempt: number;
  /** Number of its connection in order of acceptance, from 1: those with the same one reused it. */
  readonly connection: number;
  /** From 1 on its connection. */
  readonly nthOnConnection: number;
  /** Against the receiver's `secrets`, when it came; `undefined` when the receiver has none, or did not read the body. */
  readonly verification: Verification | undefined;
  /** The status that was sent; `undefined` while, or if, there is none. */
  readonly status: number | undefined;
  /** When the answer was all sent, or given up; milliseconds since the epoch. */
  readonly answeredAt: number | undefined;
  /** What the network took of the answer so far. Of an endless one, this tells how much the sender was willing to read. */
  readonly sentBytes: number;
}

export type WebhookRecord = { -readonly [K in keyof ReceivedWebhook]: ReceivedWebhook[K] };

export function recordOf(exchange: Exchange, receivedAt: number): WebhookRecord {
  const { request } = exchange;
  const id = request.headers['webhook-id'];
  return {
    method: request.method ?? '',
    path: request.url ?? '/',
    headers: request.headers,
    body: exchange.received,
    isWhole: exchange.isWhole,
    receivedAt,
    id: typeof id === 'string' ? id : undefined,
    attempt: 1,
    connection: exchange.connection.number,
    nthOnConnection: exchange.nthOnConnection,
    verification: undefined,
    status: undefined,
    answeredAt: undefined,
    sentBytes: 0,
  };
}
