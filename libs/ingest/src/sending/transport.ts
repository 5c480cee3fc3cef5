import { type Dispatcher, Pool } from 'undici';
import type { Commit } from '../batching/batch.js';
import type { IngestAuth } from '../ingest.options.js';
import type { IngestProtocol } from '../protocols/protocol.js';
import { Exchange } from './exchange.js';
import type { AttemptResult } from '../answers/reading.js';
import type { WireBody } from './wire-body.js';

/** Longer to connect is longer than any server that works, in milliseconds. */
const MAX_CONNECT_MS = 10_000;

/** Of an answer, beyond three times the request: room for the server's own words, as such and on each document. */
const ANSWER_SPARE_BYTES = 1_024 * 1_024;
const ANSWER_BYTES_PER_DOCUMENT = 1_024;

/** Ours to set, whatever `auth` says: they describe the body. */
const OWN_HEADERS = new Set(['content-length', 'content-type', 'content-encoding', 'transfer-encoding', 'connection']);

export interface TransportSettings {
  readonly url: string;
  readonly index: string;
  readonly protocol: IngestProtocol;
  readonly auth: IngestAuth | undefined;
  readonly dispatcher: Dispatcher | undefined;
  readonly connections: number;
  readonly requestTimeoutMs: number;
  readonly commitTimeoutMs: number;
}

export interface RequestShape {
  readonly commit: Commit;
  /** Asks for the rejected documents by name; servers before ingest v2 refuse it. */
  readonly detailed: boolean;
  readonly documents: number;
  /** Uncompressed bytes: what the answer may quote back. */
  readonly rawBytes: number;
}

/**
 * HTTP, and nothing about its meaning. One attempt a call.
 *
 * - `send` never rejects, and ends within its timeout, counted from the call: `auth`, connecting and reading the answer included.
 * - The length of the body is always sent.
 * - After `cancelAll` every attempt, running or new, ends at once.
 */
export class Transport {
  private readonly origin: string;
  private readonly basePath: string;
  private readonly dispatcher: Dispatcher;
  private readonly running = new Set<(cause: Error, isOurs: boolean) => void>();
  private cancelled: Error | undefined;

  constructor(private readonly settings: TransportSettings) {
    const url = new URL(settings.url);
    this.origin = url.origin;
    this.basePath = url.pathname.replace(/\/+$/, '');
    this.dispatcher =
      settings.dispatcher ??
      new Pool(url.origin, {
        connections: settings.connections,
        connect: { timeout: Math.min(MAX_CONNECT_MS, settings.requestTimeoutMs) },
      });
  }

  get inFlight(): number {
    return this.running.size;
  }

  async send(body: WireBody, shape: RequestShape): Promise<AttemptResult> {
    if (this.cancelled !== undefined) return { kind: 'no_answer', wasSent: false, cause: this.cancelled };
    const exchange = new Exchange(longestAnswer(shape));
    const cancel = (cause: Error, isOurs: boolean): void => exchange.cancel(cause, isOurs);
    const timeoutMs = shape.commit === 'auto' ? this.settings.requestTimeoutMs : this.settings.commitTimeoutMs;
    const timer = setTimeout(() => cancel(new Error(`no answer within ${timeoutMs} ms`), false), timeoutMs);
    this.running.add(cancel);
    try {
      void this.dispatch(exchange, body, shape);
      return await exchange.result;
    } finally {
      clearTimeout(timer);
      this.running.delete(cancel);
    }
  }

  cancelAll(cause: Error): void {
    this.cancelled ??= cause;
    for (const cancel of [...this.running]) cancel(cause, true);
  }

  /** Closes our own connections; a dispatcher that was given stays open. */
  async close(): Promise<void> {
    if (this.settings.dispatcher === undefined) await this.dispatcher.destroy();
  }

  private async dispatch(exchange: Exchange, body: WireBody, shape: RequestShape): Promise<void> {
    try {
      const headers = await this.headers(body);
      // `auth` may have taken longer than anybody waited.
      if (exchange.isOver) return;
      exchange.prepared();
      this.dispatcher.dispatch(
        {
          origin: this.origin,
          path: this.settings.protocol.path({ basePath: this.basePath, index: this.settings.index, ...shape }),
          method: 'POST',
          headers,
          body: body.bytes,
          // The timeout of the whole attempt is ours.
          headersTimeout: 0,
          bodyTimeout: 0,
        },
        exchange,
      );
    } catch (error) {
      exchange.onResponseError(undefined, error as Error);
    }
  }

  private async headers(body: WireBody): Promise<Record<string, string>> {
    const { auth } = this.settings;
    const given = typeof auth === 'function' ? await auth() : (auth ?? {});
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(given))
      if (!OWN_HEADERS.has(name.toLowerCase())) headers[name.toLowerCase()] = value;
    headers['content-type'] = 'application/x-ndjson';
    if (body.isCompressed) headers['content-encoding'] = 'gzip';
    return headers;
  }
}

function longestAnswer({ rawBytes, documents }: RequestShape): number {
  return 3 * rawBytes + documents * ANSWER_BYTES_PER_DOCUMENT + ANSWER_SPARE_BYTES;
}
