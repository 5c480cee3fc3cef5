import { systemClock } from '@nest-baton/core';
import type { ConnectionFault } from '../http/connections.js';
import type { Exchange } from '../http/exchange.js';
import { LocalHttpServer } from '../http/local-http-server.js';
import { type Script, ScriptBook } from '../http/script.js';
import { Gate, openGate } from '../waiting/gate.js';
import type { Document, DocumentCheck } from './contract/documents.js';
import { Indexes } from './contract/indexes.js';
import { IngestAnswerer } from './ingest-answerer.js';
import type { IngestFault, UnreadIngestFault } from './ingest-fault.js';
import { type IngestFilter, type IngestRequest, RecordedRequest } from './ingest-request.js';

export interface FakeQuickwitOptions {
  /** Default: a free one. */
  readonly port?: number;
  /** The indexes that exist, and patterns with `*` as those of index templates; others get 404. Default: every index exists. */
  readonly indexes?: readonly string[];
  /** `ingest_api.content_length_limit` in bytes, compared with the header. Default 10 MiB, as the server's. */
  readonly maxContentLength?: number;
  /** Stands for the mapping: what it objects to is rejected as `invalid_schema`. Default: every JSON object fits. */
  readonly validate?: DocumentCheck;
  /** The indexes' `validate_docs`. `false`: bad documents are accepted and thrown away later, see `dropped()`. Default `true`. */
  readonly validateDocs?: boolean;
  /** Which versions of the service answer; the legacy one is asked for by `use_legacy_ingest`, or when it is the only one. Default: both. */
  readonly versions?: 'v1' | 'v2' | 'both';
  /**
   * Answers as Elasticsearch 9 where its clients tell the difference: the product header, `GET /`, no need for a length, its media types and the
   * versions in them, items under their action, ids that mean something (`create` of one that is there: 409), its names of indexes and its form
   * of errors, `_refresh`. Default `false`.
   */
  readonly elasticProduct?: boolean;
}

/**
 * Quickwit 0.9's two ways in, `POST /api/v1/<index>/ingest` and the Elasticsearch-compatible `_bulk`, to the letter of their contract, with faults
 * on demand.
 *
 * - What it stored stands in `documents()`, in order and with duplicates, so that tests compare multisets and not promises.
 * - A fault says exactly whether the documents were stored before the client was left without an answer.
 * - `stop()` ends every connection, whatever state it is in.
 */
export class FakeQuickwit {
  private readonly log: RecordedRequest[] = [];
  private readonly faults = new ScriptBook<IngestRequest, IngestFault>();
  private readonly unread = new ScriptBook<IngestRequest, UnreadIngestFault>();
  private readonly indexes: Indexes;
  private readonly commits: Gate = openGate();
  private readonly answerer: IngestAnswerer;
  private server!: LocalHttpServer;

  private constructor(options: FakeQuickwitOptions) {
    this.indexes = new Indexes(options.indexes);
    const { versions = 'both' } = options;
    const target = {
      indexes: this.indexes,
      check: options.validate,
      isValidating: options.validateDocs ?? true,
      isV1Enabled: versions !== 'v2',
      isV2Enabled: versions !== 'v1',
      isElastic: options.elasticProduct ?? false,
    };
    this.answerer = new IngestAnswerer(target, options.maxContentLength ?? 10 * 1024 * 1024, this.commits);
  }

  static async start(options: FakeQuickwitOptions = {}): Promise<FakeQuickwit> {
    const fake = new FakeQuickwit(options);
    fake.server = await LocalHttpServer.start((exchange) => fake.handle(exchange), { port: options.port });
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

  /** The most requests that were open at one time, from their head to the end of their answer. */
  get maxConcurrentRequests(): number {
    return this.server.maxActiveRequests;
  }

  /** Requests that are open now. */
  get openRequests(): number {
    return this.server.activeRequests;
  }

  /** Connections that there ever were. */
  get acceptedConnections(): number {
    return this.server.acceptedConnections;
  }

  /** What was stored in an index, in order, with duplicates. */
  documents(index: string): readonly Document[] {
    return this.indexes.documents(index);
  }

  /** How often each value of `field` was stored in an index. */
  counts(index: string, field = 'id'): ReadonlyMap<unknown, number> {
    return tally(this.documents(index).map((document) => document[field]));
  }

  /** How often each document was stored in an index, by its JSON without white space: for documents that have no id. */
  multiset(index: string): ReadonlyMap<string, number> {
    return tally(this.documents(index).map((document) => JSON.stringify(document)));
  }

  /** Lines that were accepted for an index and then thrown away without a word: bad ones, where nobody validates. */
  dropped(index: string): readonly string[] {
    return this.indexes.dropped(index);
  }

  createIndex(index: string): void {
    this.indexes.create(index);
  }

  /** With its documents. What comes for it from now on is 404, also when a pattern would fit. */
  deleteIndex(index: string): void {
    this.indexes.delete(index);
  }

  /** From now on, requests with `wait_for` and `force` are stored, but answered only after `releaseCommits()`. */
  holdCommits(): void {
    this.commits.close();
  }

  releaseCommits(): void {
    this.commits.open();
  }

  /** What `GET /health/livez` and `/health/readyz` say; both are true at first. */
  setHealth(health: { readonly isLive?: boolean; readonly isReady?: boolean }): void {
    this.answerer.setHealth(health);
  }

  /** Faults for the requests to come to the two ways in; replaces those that were left. See `Script`. */
  fail(script: Script<IngestRequest, IngestFault>): void {
    this.faults.set(script);
  }

  /** Faults for some requests only, before those of `fail`; only these are counted. Returns what takes them away again. */
  failWhere(filter: IngestFilter, script: Script<IngestRequest, IngestFault>): () => void {
    return this.faults.add((request) => request instanceof RecordedRequest && request.meets(filter), script);
  }

  /** Faults for requests to come by their head alone: before their body is read, or in the middle of it. A request without one is read. */
  failUnread(script: Script<IngestRequest, UnreadIngestFault>): void {
    this.unread.set(script);
  }

  /** What the connections to come meet before HTTP; the script's function gets the connection's number. */
  greet(script: Script<number, ConnectionFault> | undefined): void {
    this.server.greet(script);
  }

  /** Those of every kind. */
  clearFaults(): void {
    this.faults.clear();
    this.unread.clear();
    this.server.greet(undefined);
  }

  /** Forgets requests and documents; indexes and faults stay. */
  forget(): void {
    this.log.length = 0;
    this.indexes.empty();
  }

  /** Ends all connections, also those of requests that were never answered. May be called twice. */
  stop(): Promise<void> {
    this.commits.open();
    return this.server.stop();
  }

  private async handle(exchange: Exchange): Promise<void> {
    const request = new RecordedRequest(exchange, systemClock.now());
    const early = request.route === 'other' ? undefined : this.unread.next(request);
    await exchange.readBody(early === undefined ? Infinity : (early.afterBytes ?? 0));
    request.body = exchange.received;
    request.receivedAt = systemClock.now();
    this.log.push(request);
    if (early !== undefined) return this.answerer.refuseUnread(exchange, request, early);
    const fault = request.route === 'other' ? undefined : this.faults.next(request);
    await this.answerer.answer(exchange, request, fault);
  }
}

function tally<T>(values: readonly T[]): ReadonlyMap<T, number> {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}
