import {
  activeSpanContext,
  errorType,
  isSampled,
  OpenSpan,
  readTraceContext,
  Tracing,
  writeTraceContext,
} from '@nest-baton/core';
import { type Attributes, SpanKind } from '@opentelemetry/api';
import type { SentEvent } from '../producing/webhook-event.js';
import { WEBHOOK_OUTBOX_METRICS } from '../webhook-outbox.metrics.js';

export interface SpannedRequest {
  readonly url: string;
  readonly bytes: number;
  /** Which request of this delivery it is, from 1. */
  readonly attempt: number;
  /** As it was stored with the event. */
  readonly trace: string | null;
}

/** The attributes that both kinds of span have. */
const MESSAGING = { 'messaging.system': 'baton' };

/**
 * The spans of one instance: one for each call of `send` or `sendMany`, and one for each request.
 *
 * - A request is a trace of its own, hours after the call maybe, that links to the call it is made for.
 * - They never tell payloads, ids, tenants, paths, queries or what a receiver said.
 */
export class OutboxSpans {
  private readonly tracing: Tracing;

  constructor(instance: string) {
    this.tracing = new Tracing(WEBHOOK_OUTBOX_METRICS, instance);
  }

  /** False: a span would do nothing at all, so that it need not even be described. */
  get areHeeded(): boolean {
    return this.tracing.isHeeded;
  }

  /** Runs `fn` in the span of a call; `trace` is what is stored with its events, `null` when nobody records. */
  async sending(
    what: string,
    events: number | undefined,
    fn: (trace: string | null) => Promise<readonly SentEvent[]>,
  ): Promise<readonly SentEvent[]> {
    const attributes: Attributes = {
      ...MESSAGING,
      'messaging.operation.name': 'send',
      'messaging.operation.type': 'send',
    };
    if (events !== undefined) attributes['messaging.batch.message_count'] = events;
    const span = this.tracing.begin(`send ${what}`, { kind: SpanKind.PRODUCER, attributes });
    try {
      const sent = await span.run(() => fn(traceText()));
      span.end(events === undefined ? { attributes: { 'baton.outcome': outcomeOf(sent[0]) } } : {});
      return sent;
    } catch (error) {
      span.end({ errorType: errorType(error) });
      throw error;
    }
  }

  /** The span of a request: run it there, and end it with what came of it. */
  request({ url, bytes, attempt, trace }: SpannedRequest): OpenSpan {
    const producer = readTraceContext(trace);
    const attributes: Attributes = {
      ...MESSAGING,
      'http.request.method': 'POST',
      'http.request.body.size': bytes,
      ...serverOf(url),
    };
    if (attempt > 1) attributes['http.request.resend_count'] = attempt - 1;
    const links = producer === undefined || !isSampled(producer) ? [] : [producer];
    return this.tracing.begin('POST', { kind: SpanKind.CLIENT, attributes, parent: 'none', links });
  }
}

function traceText(): string | null {
  return writeTraceContext(activeSpanContext())?.traceparent ?? null;
}

function outcomeOf(sent: SentEvent | undefined): string {
  return sent?.duplicate === true ? 'duplicate' : (sent?.state ?? 'persisted');
}

/** URLs whose parts are remembered. */
const MAX_SERVERS = 10_000;
const servers = new Map<string, Attributes>();

function serverOf(url: string): Attributes {
  const known = servers.get(url);
  if (known !== undefined) return known;
  const server = partsOf(url);
  if (servers.size >= MAX_SERVERS) servers.clear();
  servers.set(url, server);
  return server;
}

function partsOf(url: string): Attributes {
  if (!URL.canParse(url)) return {};
  const { hostname, port, protocol } = new URL(url);
  const defaultPort = protocol === 'https:' ? 443 : 80;
  // An IPv6 address has brackets in a URL only.
  return {
    'server.address': hostname.replace(/^\[(.*)\]$/, '$1'),
    'server.port': port === '' ? defaultPort : Number(port),
  };
}
