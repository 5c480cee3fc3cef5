import { activeSpanContext, errorType, isSampled, type OpenSpan, Tracing } from '@nest-baton/core';
import { type Attributes, type SpanContext, SpanKind } from '@opentelemetry/api';
import { INGEST_METRICS, type RequestOutcome } from '../ingest.metrics.js';

export interface SpannedRequest {
  readonly documents: number;
  /** Of the body as it is sent. */
  readonly bytes: number;
  /** Which try of this batch it is, from 1. */
  readonly attempt: number;
  /** Of tracked calls whose documents are in it. */
  readonly links: Iterable<SpanContext>;
}

export interface RequestEnd {
  readonly outcome: RequestOutcome;
  /** Where the server answered. */
  readonly status?: number | undefined;
  readonly cause?: unknown;
}

/** What a request is called, by the protocol: with `bulk` the server may be any of three, and this is the one whose protocol it is. */
const NAMES = {
  native: { system: 'quickwit', operation: 'ingest' },
  bulk: { system: 'elasticsearch', operation: 'bulk' },
} as const;

const FAILED: ReadonlySet<string> = new Set<RequestOutcome>(['too_large', 'refused', 'denied', 'retry', 'ambiguous']);

/** The span of one attempt. */
export class RequestSpan {
  constructor(private readonly span: OpenSpan) {}

  /** Calls `fn` with the span active, so that instrumentations of `auth` and of the HTTP client see whose request it is. */
  run<T>(fn: () => T): T {
    return this.span.run(fn);
  }

  /** Tells the status and the type of error, never the server's words: they may quote a document. */
  end({ outcome, status, cause }: RequestEnd): void {
    this.span.end({
      attributes: { 'baton.outcome': outcome, ...answered(status) },
      errorType: failure(outcome, status, cause),
    });
  }
}

/**
 * The spans of one index: a client span for each attempt, named after OpenTelemetry's conventions for databases and HTTP.
 *
 * - It is a trace of its own that links to the tracked calls whose documents it carries: one request serves many, and many serve one.
 * - It never tells documents, addresses' credentials, paths or queries.
 */
export class RequestSpans {
  private readonly tracing: Tracing;
  private readonly name: string;
  private readonly attributes: Attributes;

  constructor(instance: string, index: string, serverUrl: string, protocol: 'native' | 'bulk' = 'native') {
    const { system, operation } = NAMES[protocol];
    this.tracing = new Tracing(INGEST_METRICS, instance);
    this.name = `${operation} ${index}`;
    this.attributes = {
      'db.system.name': system,
      'db.operation.name': operation,
      'db.collection.name': index,
      'http.request.method': 'POST',
      ...serverOf(new URL(serverUrl)),
    };
  }

  /** Of the caller of a tracked call: what its requests link to. `undefined` when nobody records it; without an SDK it costs a look-up. */
  callerContext(): SpanContext | undefined {
    const context = activeSpanContext();
    return context !== undefined && isSampled(context) ? context : undefined;
  }

  begin({ documents, bytes, attempt, links }: SpannedRequest): RequestSpan {
    const attributes: Attributes = { ...this.attributes, 'http.request.body.size': bytes };
    // By the conventions: a batch of one is no batch, and the first attempt is no repetition.
    if (documents !== 1) attributes['db.operation.batch.size'] = documents;
    if (attempt > 1) attributes['http.request.resend_count'] = attempt - 1;
    return new RequestSpan(this.tracing.begin(this.name, { kind: SpanKind.CLIENT, attributes, parent: 'none', links }));
  }
}

function serverOf({ hostname, port, protocol }: URL): Attributes {
  const defaultPort = protocol === 'https:' ? 443 : 80;
  // An IPv6 address has brackets in a URL only.
  return {
    'server.address': hostname.replace(/^\[(.*)\]$/, '$1'),
    'server.port': port === '' ? defaultPort : Number(port),
  };
}

function answered(status: number | undefined): Attributes {
  // The convention for databases has the status as text.
  return status === undefined ? {} : { 'http.response.status_code': status, 'db.response.status_code': String(status) };
}

/** The status where it says what was wrong, else the code of the cause, else what it meant for the documents. */
function failure(outcome: RequestOutcome, status: number | undefined, cause: unknown): string | undefined {
  if (!FAILED.has(outcome)) return undefined;
  return status !== undefined && status >= 300 ? String(status) : errorType(cause, outcome);
}
