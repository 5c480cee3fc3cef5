import type { Answer, AnswerHeaders } from '../http/answer.js';
import type { WireFault } from '../http/wire-fault.js';

/** What a receiver does with a request. Without anything: 204. */
export interface WebhookAnswer {
  /** Default 204; 200 where there is a body. */
  readonly status?: number;
  /** A list is a header line for each, as several `retry-after` would be. */
  readonly headers?: AnswerHeaders;
  readonly body?: string | Buffer;
  /** Milliseconds before whatever comes. Default 0. */
  readonly delayMs?: number;
  /** `never`: keeps the connection open and says nothing. `reset`: drops it. `close`: ends it with a FIN, without an answer. Default: answers. */
  readonly instead?: 'never' | 'reset' | 'close';
  /** What goes wrong with the answer on its way. With it, the default is 200 with a body of 1 KiB. */
  readonly wire?: WireFault;
}

/** What a receiver does with a request of which it has read nothing but the head. */
export interface UnreadWebhookAnswer extends WebhookAnswer {
  /** Reads at least so much of the body first (as it comes: rarely exactly so much). Default 0. */
  readonly afterBytes?: number;
}

const SOME_TEXT = Buffer.alloc(1024, 'all is well. ');

/** Pure. */
export function answerOf({ status, headers = {}, body, wire }: WebhookAnswer): Answer {
  const text = body === undefined ? (wire === undefined ? Buffer.alloc(0) : SOME_TEXT) : Buffer.from(body);
  return { status: status ?? (text.length === 0 ? 204 : 200), headers, body: text };
}
