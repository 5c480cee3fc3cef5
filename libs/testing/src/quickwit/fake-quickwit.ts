import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { systemClock } from '@nest-baton/core';
import { LocalHttpServer, reset } from '../http/local-http-server.js';
import { type Script, ScriptRunner } from '../http/script.js';
import { answerOf, type DocumentCheck, parseBody, type ParsedBody } from './ingest-answer.js';
import { decodeBody, indexOfPath, readQuery, type Refusal, refuseByHeaders, refuseIndex } from './ingest-request.js';

export interface FakeQuickwitOptions {
  /** Default: a free one. */
  readonly port?: number;
  /** The indexes that exist; others get 404. Default: every index exists. */
  readonly indexes?: readonly string[];
  /** `ingest_api.content_length_limit` in bytes, compared with the header. Default 10 MiB, as the server's. */
  readonly maxContentLength?: number;
  /** Stands for the mapping: what it objects to is rejected as `invalid_schema`. Default: every JSON object fits. */
  readonly validate?: DocumentCheck;
}

/** What happens to a request instead of the ordinary answer. `after`: the documents have been stored, but the client does not learn it. */
export type IngestFault =
  /** An error before anything is stored, with `{"message": ...}` as the body. */
  | { readonly kind: 'status'; readonly status: number; readonly message?: string; readonly retryAfter?: string }
  | { readonly kind: 'stall'; readonly when: 'before' | 'after' }
  | { readonly kind: 'reset'; readonly when: 'before' | 'after' }
  /** Stores, sends the headers and half of the body, and hangs up. */
  | { readonly kind: 'truncate' }
  /** Stores at once, and answers this much later. */
  | { readonly kind: 'slow'; readonly delayMs: number }
  /** Stores, and answers as the legacy service does: without verdicts. */
  | { readonly kind: 'legacy' };

export interface IngestRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** As it came over the wire, compressed where it was. */
  readonly body: Buffer;
  /** `undefined` when the path is not that of the native route. */
  readonly index: string | undefined;
  /** Milliseconds since the epoch. */
  readonly receivedAt: number;
  /** What was answered; `undefined` while, or if, there is no answer. */
  readonly status: number | undefined;
}

/**
 * The native ingest route of Quickwit 0.9, `POST /api/v1/<index>/ingest`, to the letter of its contract, with faults on demand.
 *
 * - What it stored stands in `documents()`, in order and with duplicates, so that tests compare multisets and not promises.
 * - A fault says exactly whether the documents were stored before the client was left without an answer.
 */
export class FakeQuickwit {
  private readonly stored = new Map<string, Readonly<Record<string, unknown>>[]>();
  private readonly log: { -readonly [K in keyof IngestRequest]: IngestRequest[K] }[] = [];
  private readonly faults = new ScriptRunner<IngestRequest, IngestFault>();
  private readonly known: ReadonlySet<string> | undefined;
  private server!: LocalHttpServer;

  private constructor(private readonly options: FakeQuickwitOptions) {
    this.known = options.indexes === undefined ? undefined : new Set(options.indexes);
  }

  static async start(options: FakeQuickwitOptions = {}): Promise<FakeQuickwit> {
    const fake = new FakeQuickwit(options);
    fake.server = await LocalHttpServer.start(
      (request, response, body) => fake.handle(request, response, body),
      options.port,
    );
    return fake;
  }

  /** The base URL, without a slash at its end. */
  get url(): string {
    return this.server.url;
  }

  /** Every request in order of arrival, also those that were refused. */
  get requests(): readonly IngestRequest[] {
    return this.log;
  }

  /** What was stored in an index, in order, with duplicates. */
  documents(index: string): readonly Readonly<Record<string, unknown>>[] {
    return this.stored.get(index) ?? [];
  }

  /** How often each value of `field` was stored in an index. */
  counts(index: string, field = 'id'): ReadonlyMap<unknown, number> {
    const counts = new Map<unknown, number>();
    for (const document of this.documents(index)) counts.set(document[field], (counts.get(document[field]) ?? 0) + 1);
    return counts;
  }

  /** Faults for the requests to come to the native route; replaces those that were left. See `Script`. */
  fail(script: Script<IngestRequest, IngestFault>): void {
    this.faults.set(script);
  }

  clearFaults(): void {
    this.faults.set(undefined);
  }

  /** Ends all connections, also those of requests that were never answered. May be called twice. */
  stop(): Promise<void> {
    return this.server.stop();
  }

  private async handle(incoming: IncomingMessage, response: ServerResponse, body: Buffer): Promise<void> {
    const { pathname, searchParams } = new URL(incoming.url ?? '/', 'http://localhost');
    const request = {
      method: incoming.method ?? '',
      path: pathname,
      query: searchParams,
      headers: incoming.headers,
      body,
      index: indexOfPath(pathname),
      receivedAt: systemClock.now(),
      status: undefined as number | undefined,
    };
    this.log.push(request);
    const send = (status: number, answer: object, headers = {}) => {
      request.status = status;
      sendJson(response, status, answer, headers);
    };
    if (request.index === undefined) return send(404, { message: 'Route not found' });
    const fault = this.faults.next(request);
    if (fault?.kind === 'status') {
      const headers = fault.retryAfter === undefined ? {} : { 'retry-after': fault.retryAfter };
      return send(fault.status, { message: fault.message ?? `scripted ${fault.status}` }, headers);
    }
    if (fault?.kind === 'stall' && fault.when === 'before') return;
    if (fault?.kind === 'reset' && fault.when === 'before') return reset(incoming);
    const outcome = await this.process(request, request.index, fault?.kind === 'legacy');
    if (fault?.kind === 'stall') return;
    if (fault?.kind === 'reset') return reset(incoming);
    if (fault?.kind === 'truncate') return sendTruncated(response, outcome.answer);
    if (fault?.kind === 'slow') await this.server.delay(fault.delayMs);
    send(outcome.status, outcome.answer);
  }

  private async process(
    request: IngestRequest,
    index: string,
    isLegacyFault: boolean,
  ): Promise<{ readonly status: number; readonly answer: object }> {
    const { maxContentLength = 10 * 1024 * 1024 } = this.options;
    const refused = refuseByHeaders(request.method, request.headers, maxContentLength);
    if (refused !== undefined) return refusal(refused);
    const query = readQuery(request.query);
    if ('status' in query) return refusal(query);
    const decoded = await decodeBody(request.body, request.headers['content-encoding']);
    if ('status' in decoded) return refusal(decoded);
    const unknown = refuseIndex(index, this.known);
    if (unknown !== undefined) return refusal(unknown);
    const parsed = parseBody(decoded.toString('utf8'), index, this.options.validate);
    this.store(index, parsed);
    return { status: 200, answer: answerOf(parsed, { ...query, isLegacy: query.isLegacy || isLegacyFault }) };
  }

  private store(index: string, { documents }: ParsedBody): void {
    const stored = this.stored.get(index) ?? [];
    stored.push(...documents);
    this.stored.set(index, stored);
  }
}

function refusal({ status, message }: Refusal): { readonly status: number; readonly answer: object } {
  return { status, answer: { message } };
}

function sendJson(response: ServerResponse, status: number, answer: object, headers: Record<string, string>): void {
  const text = JSON.stringify(answer);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...headers,
  });
  response.end(text);
}

function sendTruncated(response: ServerResponse, answer: object): void {
  const text = JSON.stringify(answer);
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.write(text.slice(0, Math.floor(text.length / 2)), () => response.destroy());
}
