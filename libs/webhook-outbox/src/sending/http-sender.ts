import type { Clock } from '@nest-baton/core';
import { Agent } from 'undici';
import type { Answer } from './answer.js';
import { checkDestination, type DestinationRules } from './destination.js';
import { Exchange } from './exchange.js';
import { guardedConnector, type NetworkParts } from './guarded-connector.js';
import { legacyHeaders, type LegacySignature } from '../signing/legacy-signature.js';
import { signatureBy, type SigningKey } from '../signing/signing-key.js';

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

/** URLs whose check is remembered. */
const MAX_TARGETS = 10_000;

/** A URL that the rules allow, as undici wants it. */
interface Target {
  readonly origin: string;
  readonly path: string;
}

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
  private readonly targets = new Map<string, Target>();
  private readonly running = new WeakMap<AbortSignal, Set<Exchange>>();

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
      // The deadline of the whole request is ours.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: 10_000,
      keepAliveMaxTimeout: 60_000,
      clientTtl: CONNECTION_LIFE_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
    });
  }

  send(request: WebhookRequest, signal: AbortSignal): Promise<Answer> {
    const destination = this.destinationOf(request.url);
    if ('refused' in destination) return Promise.resolve({ kind: 'refused', error: destination.refused });
    if (signal.aborted) return Promise.resolve({ kind: 'cut' });
    const running = this.runningUnder(signal);
    return new Promise((resolve) => {
      const exchange = new Exchange(this.options.maxResponseBytes, (answer) => {
        clearTimeout(timer);
        running.delete(exchange);
        resolve(answer);
      });
      // Timers run before sockets are read: an answer that came while the process stood still is read first.
      const late = (): NodeJS.Immediate => setImmediate(() => exchange.end('timeout'));
      const timer = setTimeout(late, this.options.requestTimeoutMs);
      running.add(exchange);
      const { origin, path } = destination;
      const { body } = request;
      this.agent.dispatch({ origin, path, method: 'POST', headers: this.headersOf(request), body }, exchange);
    });
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

  /** By a look-up, as each request would parse its URL and the rules anew. */
  private destinationOf(url: string): Target | { readonly refused: string } {
    const known = this.targets.get(url);
    if (known !== undefined) return known;
    const destination = checkDestination(url, this.options);
    if ('refused' in destination) return destination;
    const { origin, pathname, search } = destination.url;
    const target = { origin, path: `${pathname}${search}` };
    if (this.targets.size >= MAX_TARGETS) this.targets.clear();
    this.targets.set(url, target);
    return target;
  }

  /** One listener for all requests under a signal: thousands may run under one. */
  private runningUnder(signal: AbortSignal): Set<Exchange> {
    const known = this.running.get(signal);
    if (known !== undefined) return known;
    const running = new Set<Exchange>();
    this.running.set(signal, running);
    signal.addEventListener('abort', () => running.forEach((exchange) => exchange.end('cut')), { once: true });
    return running;
  }
}
