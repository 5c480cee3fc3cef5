import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AlwaysOffSampler } from '@opentelemetry/sdk-trace-base';
import { CollectedSpans } from '../../../../test/support/collected-spans.js';
import { INGEST_METRICS } from '../ingest.metrics.js';
import { type RequestEnd, RequestSpans } from './request-spans.js';

const PACKAGE = INGEST_METRICS.package;
const SERVER = 'https://elastic:s3cret@search.example.org/prefix/?token=s3cret#s3cret';
const REQUEST = { documents: 3, bytes: 120, attempt: 1, links: [] };

let spans: CollectedSpans;

afterEach(() => spans.unregister());

function attributesOf(end: RequestEnd, url = SERVER) {
  spans = CollectedSpans.register();
  new RequestSpans('default', 'app-logs', url).begin(REQUEST).end(end);
  return spans.of(PACKAGE)[0];
}

describe('the span of a request', () => {
  it('says what the conventions ask of a client of a database over HTTP, and nothing of the URL but its host', () => {
    const span = attributesOf({ outcome: 'accepted', status: 200 });
    expect(span).toMatchObject({ name: 'ingest app-logs', kind: SpanKind.CLIENT, links: [], events: [] });
    expect(span?.attributes).toEqual({
      'baton.instance': 'default',
      'baton.outcome': 'accepted',
      'db.system.name': 'quickwit',
      'db.operation.name': 'ingest',
      'db.operation.batch.size': 3,
      'db.collection.name': 'app-logs',
      'db.response.status_code': '200',
      'http.request.method': 'POST',
      'http.request.body.size': 120,
      'http.response.status_code': 200,
      'server.address': 'search.example.org',
      'server.port': 443,
    });
    expect(span?.status).toEqual({ code: SpanStatusCode.UNSET });
    expect(spans.text()).not.toMatch(/s3cret|elastic|prefix/);
  });

  it('counts no batch of one, and repetitions from the second attempt on', () => {
    spans = CollectedSpans.register();
    const requests = new RequestSpans('default', 'app-logs', 'http://[::1]:7280', 'bulk');
    for (const attempt of [1, 3]) requests.begin({ ...REQUEST, documents: 1, attempt }).end({ outcome: 'accepted' });
    const [first, third] = spans.of(PACKAGE);
    expect(first?.name).toBe('bulk app-logs');
    expect(first?.attributes).toMatchObject({
      'db.system.name': 'elasticsearch',
      'server.address': '::1',
      'server.port': 7280,
    });
    expect(first?.attributes).not.toHaveProperty(['db.operation.batch.size']);
    expect(first?.attributes).not.toHaveProperty(['http.request.resend_count']);
    expect(third?.attributes).toMatchObject({ 'http.request.resend_count': 2 });
  });

  it.each<[RequestEnd, string]>([
    [{ outcome: 'retry', status: 429, cause: new Error('slow down, {"secret":1}') }, '429'],
    [{ outcome: 'denied', status: 301 }, '301'],
    [{ outcome: 'ambiguous', status: 200, cause: new Error('cut off: {"secret":1}') }, 'ambiguous'],
    [{ outcome: 'ambiguous', cause: Object.assign(new Error('secret'), { code: 'ECONNRESET' }) }, 'ECONNRESET'],
    [{ outcome: 'retry', cause: new Error('no answer within 40000 ms of secret') }, 'retry'],
    [{ outcome: 'ambiguous', cause: 'secret' }, 'ambiguous'],
    [{ outcome: 'too_large', status: 413 }, '413'],
  ])('tells what failed by a type: %#', (end, type) => {
    const span = attributesOf(end);
    expect(span?.attributes['error.type']).toBe(type);
    expect(span?.status).toEqual({ code: SpanStatusCode.ERROR });
    expect(spans.text()).not.toContain('secret');
  });

  it('is a trace of its own, linked to callers that are recorded', async () => {
    spans = CollectedSpans.register();
    const requests = new RequestSpans('default', 'app-logs', SERVER);
    const { caller, value } = await spans.inCaller('POST /events', async () => {
      const context = requests.callerContext();
      const links = context === undefined ? [] : [context, context];
      const request = requests.begin({ ...REQUEST, links });
      const inside = request.run(() => trace.getActiveSpan()?.spanContext());
      request.end({ outcome: 'accepted', status: 200 });
      return inside;
    });
    const [span] = spans.of(PACKAGE);
    expect(span?.parentSpanContext).toBeUndefined();
    expect(span?.links).toMatchObject([{ context: { spanId: caller.spanContext().spanId } }]);
    expect(value?.spanId).toBe(span?.spanContext().spanId);
    expect(requests.callerContext()).toBeUndefined();
  });

  it('has nothing to link to where nobody records', async () => {
    spans = CollectedSpans.register({ sampler: new AlwaysOffSampler() });
    const requests = new RequestSpans('default', 'app-logs', SERVER);
    expect((await spans.inCaller('POST /events', async () => requests.callerContext())).value).toBeUndefined();
  });
});
