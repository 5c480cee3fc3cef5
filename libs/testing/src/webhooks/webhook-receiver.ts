import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { systemClock } from '@nest-baton/core';
import { LocalHttpServer, reset } from '../http/local-http-server.js';
import { type Script, ScriptRunner } from '../http/script.js';
import { BackendUnavailableError } from '../testing.errors.js';

export interface ReceivedWebhook {
  readonly method: string;
  /** With the query string. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** To the byte, as the signature is over bytes. */
  readonly body: Buffer;
  /** Milliseconds since the epoch. */
  readonly receivedAt: number;
}

export interface WebhookAnswer {
  /** Default 204. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Milliseconds between the end of the request and the answer. Default 0. */
  readonly delayMs?: number;
  /** `never`: keeps the connection open and says nothing. `reset`: drops it. Default: answers. */
  readonly instead?: 'never' | 'reset';
}

type WebhookClass = typeof import('standardwebhooks').Webhook;

/**
 * Somebody else's HTTP endpoint: keeps every request before it answers, and answers 204 unless told otherwise.
 *
 * Signatures are checked by `standardwebhooks`, the reference library, and by nothing of ours.
 */
export class WebhookReceiver {
  private readonly received: ReceivedWebhook[] = [];
  private readonly answers = new ScriptRunner<ReceivedWebhook, WebhookAnswer>();
  private server!: LocalHttpServer;

  private constructor(private readonly webhook: WebhookClass | undefined) {}

  /** @param options.port Default: a free one. */
  static async start({ port }: { readonly port?: number } = {}): Promise<WebhookReceiver> {
    const receiver = new WebhookReceiver(await loadWebhook());
    receiver.server = await LocalHttpServer.start(
      (request, response, body) => receiver.handle(request, response, body),
      port,
    );
    return receiver;
  }

  /** Any path under it is received too. */
  get url(): string {
    return `${this.server.url}/`;
  }

  /** Every request in order of arrival, also those that were not answered. */
  get requests(): readonly ReceivedWebhook[] {
    return this.received;
  }

  /** Answers for the requests to come; replaces those that were left. Without an answer: 204. See `Script`. */
  answer(script: Script<ReceivedWebhook, WebhookAnswer> | undefined): void {
    this.answers.set(script);
  }

  /**
   * Whether the signature is that of `secret` (`whsec_...`) over these bytes, with a timestamp at most five minutes from now.
   *
   * @throws BackendUnavailableError when `standardwebhooks` is not installed.
   */
  verify(request: ReceivedWebhook, secret: string): boolean {
    if (this.webhook === undefined)
      throw new BackendUnavailableError('Signatures are checked by the package standardwebhooks: install it.');
    const checker = new this.webhook(secret);
    const headers = Object.fromEntries(
      Object.entries(request.headers).map(([name, value]) => [
        name,
        Array.isArray(value) ? value.join(' ') : (value ?? ''),
      ]),
    );
    try {
      checker.verify(request.body, headers, { jsonParse: false });
      return true;
    } catch {
      return false;
    }
  }

  /** Ends all connections, also those of requests that were never answered. May be called twice. */
  stop(): Promise<void> {
    return this.server.stop();
  }

  private async handle(incoming: IncomingMessage, response: ServerResponse, body: Buffer): Promise<void> {
    const request: ReceivedWebhook = {
      method: incoming.method ?? '',
      path: incoming.url ?? '/',
      headers: incoming.headers,
      body,
      receivedAt: systemClock.now(),
    };
    this.received.push(request);
    const answer = this.answers.next(request) ?? {};
    if (answer.delayMs !== undefined) await this.server.delay(answer.delayMs);
    if (answer.instead === 'never') return;
    if (answer.instead === 'reset') return reset(incoming);
    response.writeHead(answer.status ?? 204, { ...answer.headers });
    response.end(answer.body);
  }
}

/** Optional: who only receives needs no checker. */
async function loadWebhook(): Promise<WebhookClass | undefined> {
  try {
    return (await import('standardwebhooks')).Webhook;
  } catch {
    return undefined;
  }
}
