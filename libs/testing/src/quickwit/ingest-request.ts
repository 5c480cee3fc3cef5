import type { IncomingHttpHeaders } from 'node:http';
import { gunzipSync, inflateSync } from 'node:zlib';
import type { Exchange } from '../http/exchange.js';
import { readAction } from './contract/bulk-action.js';
import { type Document, isObject, linesOf, parseJson } from './contract/documents.js';
import { type CommitType, readBulkQuery, readNativeQuery } from './contract/request-checks.js';
import { type Route, routeOf } from './contract/routes.js';

/** A document as it was sent, whatever became of it. */
export interface SentDocument {
  readonly index: string;
  /** Of its action in a bulk. */
  readonly id?: string | undefined;
  /** To the letter. */
  readonly line: string;
  /** `undefined` when the line is no JSON object. */
  readonly value: Document | undefined;
}

/** A request as it came. What is derived from the body is derived each time it is asked for, so that kept requests stay small. */
export interface IngestRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** As it came over the wire, compressed where it was; as far as it was read. */
  readonly body: Buffer;
  readonly wireBytes: number;
  /** The `content-encoding`. */
  readonly encoding: string | undefined;
  readonly route: 'native' | 'bulk' | 'other';
  /** The index in the path: of the native route always, of a bulk when it is there. */
  readonly index: string | undefined;
  /** Of the query, for a bulk by its `refresh`; `undefined` when it is invalid. */
  readonly commit: CommitType | undefined;
  /** The lines of the decoded body that are not blank; none when it cannot be decoded. */
  readonly lines: readonly string[];
  /** Without the action lines of a bulk; none behind an action that is malformed. */
  readonly documents: readonly SentDocument[];
  /** Milliseconds since the epoch: when its body, or as much as was wanted of it, had come. */
  readonly receivedAt: number;
  /** Number of its connection in order of acceptance, from 1. */
  readonly connection: number;
  /** What was answered; `undefined` while, or if, there is no answer. */
  readonly status: number | undefined;
}

/** Requests that faults are for. Conditions that are given must all hold. */
export interface IngestFilter {
  readonly route?: 'native' | 'bulk';
  /** That of the path, or of any document. */
  readonly index?: string;
  readonly commit?: CommitType;
  /** Whether any document is one of those. */
  readonly contains?: (document: Document) => boolean;
}

export class RecordedRequest implements IngestRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly connection: number;
  readonly foundRoute: Route;
  body: Buffer = Buffer.alloc(0);
  status: number | undefined;

  constructor(
    { request, connection }: Exchange,
    public receivedAt: number,
  ) {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://localhost');
    this.method = request.method ?? '';
    this.path = pathname;
    this.query = searchParams;
    this.headers = request.headers;
    this.connection = connection.number;
    this.foundRoute = routeOf(pathname);
  }

  get wireBytes(): number {
    return this.body.length;
  }

  get encoding(): string | undefined {
    return this.headers['content-encoding'];
  }

  get route(): 'native' | 'bulk' | 'other' {
    const { kind } = this.foundRoute;
    return kind === 'native' || kind === 'bulk' ? kind : 'other';
  }

  get index(): string | undefined {
    return 'index' in this.foundRoute ? this.foundRoute.index : undefined;
  }

  get commit(): CommitType | undefined {
    const query = this.route === 'bulk' ? readBulkQuery(this.query) : readNativeQuery(this.query);
    return 'status' in query ? undefined : query.commit;
  }

  get lines(): readonly string[] {
    return linesOf(this.decoded()).map((line) => line.toString('utf8'));
  }

  get documents(): readonly SentDocument[] {
    const lines = this.lines;
    if (this.route !== 'bulk') return lines.map((line) => sent(line, this.index ?? ''));
    const documents: SentDocument[] = [];
    for (let at = 0; at + 1 < lines.length; at += 2) {
      const action = readAction(lines[at] ?? '');
      if (action === undefined) break;
      documents.push(sent(lines[at + 1] ?? '', action.index ?? this.index ?? '', action.id));
    }
    return documents;
  }

  meets({ route, index, commit, contains }: IngestFilter): boolean {
    if (route !== undefined && this.route !== route) return false;
    if (commit !== undefined && this.commit !== commit) return false;
    if (index !== undefined && this.index !== index && !this.documents.some((one) => one.index === index)) return false;
    return contains === undefined || this.documents.some(({ value }) => value !== undefined && contains(value));
  }

  private decoded(): Buffer {
    try {
      if (this.encoding?.endsWith('gzip') === true) return gunzipSync(this.body);
      return this.encoding?.endsWith('deflate') === true ? inflateSync(this.body) : this.body;
    } catch {
      return Buffer.alloc(0);
    }
  }
}

function sent(line: string, index: string, id?: string): SentDocument {
  const value = parseJson(line)?.value;
  return { index, id, line, value: isObject(value) ? value : undefined };
}
