import { type Clock, describeError, errorCode } from '@nest-baton/core';
import { Agent, type Dispatcher } from 'undici';
import { checkDestination, type DestinationRules } from './destination.js';
import { guardedConnector, type NetworkParts, REFUSED_ADDRESS } from './guarded-connector.js';
import { legacyHeaders, type LegacySignature } from '../signing/legacy-signature.js';
import { signatureBy, type SigningKey } from '../signing/signing-key.js';

/** What came back of one request. */
export type Answer =
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly retryAfter: string | undefined;
      /** `webhook-delivery`, several lines joined by commas. */
      readonly control?: string | undefined;
      readonly text: string;
    }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'network'; readonly error: string }
  | { readonly kind: 'refused'; readonly error: string }
  /** `signal` aborted it; whether the receiver saw it is unknown. */
  | { readonly kind: 'cut' };

export interface WebhookRequest {
  /** Which request of its delivery it is, from 1; for spans. */
  readonly attempt?: number;
  /** As it was stored with the event; for spans. */
  readonly trace?: string | null;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** At least one; each signs. */
  readonly secrets: readonly SigningKey[];
  readonly legacy?: LegacySignature | undefined;
  /** Of the event; for the legacy signature. */
  readonly type?: string;
  readonly webhookId: string;
  readonly body: string;
}

export interface HttpSenderOptions extends DestinationRules {
  readonly requestTimeoutMs: number;
  readonly maxResponseBytes: number;
  readonly maxConnections: number;
}

/** A busy connection goes on to the address that its name had; after so long the name is asked again. */
const CONNECTION_LIFE_MS = 300_000;

/** Of an answer, all its header lines together, and trailers likewise. As Node's own default. */
const MAX_HEADER_BYTES = 16 * 1_024;

/** `103 Early Hints` and the like before the answer: a handful is usual, a flood keeps the processor busy until the deadline. */
const MAX_INFORMATIONAL = 32;

/**
 * Sends signed requests over kept-alive connections.
 *
 * - Follows no redirects and decompresses nothing; the caller gets the status as it came.
 * - One deadline covers connecting, sending and the answer's body. The status is the answer: a body that is too long or too slow is cut,
 *   its connection closed, and does not change what the receiver said.
 * - Dials only addresses that the guard allows, whatever the URL said when the endpoint was made.
 */
export class HttpSender {
  private readonly agent: Agent;

  constructor(
    private readonly options: HttpSenderOptions,
    private readonly clock: Clock,
    network?: NetworkParts,
  ) {
    const { allowAddresses, requestTimeoutMs, maxConnections } = options;
    this.agent = new Agent({
      connect: guardedConnector(allowAddresses, requestTimeoutMs, network),
      connections: maxConnections,
      pipelining: 1,
      headersTimeout: requestTimeoutMs,
      bodyTimeout: requestTimeoutMs,
      keepAliveTimeout: 10_000,
      keepAliveMaxTimeout: 60_000,
      clientTtl: CONNECTION_LIFE_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
    });
  }

  async send(request: WebhookRequest, signal: AbortSignal): Promise<Answer> {
    const destination = checkDestination(request.url, this.options);
    if ('refused' in destination) return { kind: 'refused', error: destination.refused };
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), this.options.requestTimeoutMs);
    const either = AbortSignal.any([signal, deadline.signal]);
    let informational = 0;
    try {
      const response = await this.agent.request({
        origin: destination.url.origin,
        path: `${destination.url.pathname}${destination.url.search}`,
        method: 'POST',
        headers: this.headersOf(request),
        body: request.body,
        signal: either,
        onInfo: () => ++informational > MAX_INFORMATIONAL && deadline.abort(),
      });
      return await this.readAnswer(response);
    } catch (error) {
      if (errorCode(error) === REFUSED_ADDRESS) return { kind: 'refused', error: describeError(error) };
      if (signal.aborted) return { kind: 'cut' };
      if (informational > MAX_INFORMATIONAL) return { kind: 'network', error: 'a flood of informational answers' };
      if (deadline.signal.aborted || isTimeout(error)) return { kind: 'timeout' };
      return { kind: 'network', error: describeError(error) };
    } finally {
      clearTimeout(timer);
    }
  }

  /** Closes every connection; requests still running end as `network`. */
  async stop(): Promise<void> {
    await this.agent.destroy();
  }

  private headersOf({ headers, secrets, legacy, type = '', webhookId, body }: WebhookRequest): Record<string, string> {
    const timestamp = Math.floor(this.clock.now() / 1_000);
    return {
      'user-agent': 'baton-webhook-outbox',
      ...headers,
      ...(legacy === undefined ? {} : legacyHeaders(legacy, { type, body }, timestamp)),
      'content-type': 'application/json',
      'webhook-id': webhookId,
      'webhook-timestamp': String(timestamp),
      'webhook-signature': secrets.map((key) => signatureBy(key, webhookId, timestamp, body)).join(' '),
    };
  }

  private async readAnswer({ statusCode, headers, body }: Dispatcher.ResponseData): Promise<Answer> {
    const { 'retry-after': retryAfter, 'webhook-delivery': control } = headers;
    return {
      kind: 'answer',
      status: statusCode,
      retryAfter: Array.isArray(retryAfter) ? retryAfter[0] : retryAfter,
      control: Array.isArray(control) ? control.join(',') : control,
      text: await this.readText(body),
    };
  }

  /** Leaving the loop early destroys the body and with it the connection. */
  private async readText(body: Dispatcher.ResponseData['body']): Promise<string> {
    const kept: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        const rest = this.options.maxResponseBytes - bytes;
        kept.push(chunk.subarray(0, rest));
        bytes += chunk.length;
        if (bytes > this.options.maxResponseBytes) break;
      }
    } catch {
      // The receiver reset the connection or ran into the deadline; its status stands, and what came of the text is kept.
    }
    return Buffer.concat(kept).toString('utf8');
  }
}

function isTimeout(error: unknown): boolean {
  const code = errorCode(error) ?? '';
  return ['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'ETIMEDOUT'].includes(code);
}
