import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AlwaysOffSampler, type ReadableSpan, SamplingDecision } from '@opentelemetry/sdk-trace-base';
import { getIngestToken, IngestModule, type IngestService } from '@nest-baton/ingest';
import { freePort, Gate, waitFor } from '@nest-baton/testing';
import { Test } from '@nestjs/testing';
import { brokenTracerProvider, CollectedSpans } from '../support/collected-spans.js';
import { plainRows } from '../support/documented-metrics.js';
import { docs, errorOf, INDEX, startIngest, startSink, stopAll } from './support/bench.js';

const PACKAGE = '@nest-baton/ingest';

/** What a span may say: the README has a row for each, and a span that says anything else fails its test. */
const ATTRIBUTES = new Set([
  'baton.instance',
  'baton.links.omitted',
  'baton.outcome',
  'db.collection.name',
  'db.operation.batch.size',
  'db.operation.name',
  'db.response.status_code',
  'db.system.name',
  'error.type',
  'http.request.body.size',
  'http.request.method',
  'http.request.resend_count',
  'http.response.status_code',
  'server.address',
  'server.port',
]);

it('every attribute of a span is in the README', () => {
  const rows = plainRows('libs/ingest').join('\n');
  expect([...ATTRIBUTES].filter((name) => !rows.includes(`| \`${name}\` |`))).toEqual([]);
});

describe('spans', () => {
  let spans: CollectedSpans;
  beforeEach(() => (spans = CollectedSpans.register()));

  afterEach(async () => {
    await stopAll();
    const unknown = requests().flatMap(({ attributes }) =>
      Object.keys(attributes).filter((name) => !ATTRIBUTES.has(name)),
    );
    await spans.unregister();
    expect(unknown).toEqual([]);
  });

  const requests = (): ReadableSpan[] => spans.of(PACKAGE);

  /** Outcome, status and type of error of every request so far, in order. */
  const ends = (): string[] =>
    requests().map(({ attributes, status }) =>
      [
        attributes['baton.outcome'],
        attributes['http.response.status_code'] ?? '-',
        attributes['error.type'] ?? '-',
        SpanStatusCode[status.code],
      ].join(' '),
    );

  /** One request at a time, the first of which waits until it is let go. */
  async function startHeld() {
    const sink = await startSink();
    const gate = new Gate();
    const auth = async () => {
      await gate.pass();
      return {};
    };
    return { service: startIngest(sink.url, { concurrency: 1, auth }), gate };
  }

  const linked = (span: ReadableSpan | undefined): string[] => (span?.links ?? []).map(({ context }) => context.spanId);

  it('show a request as a client span that links to the call it was made for', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url);
    const { caller } = await spans.inCaller('POST /events', () => service.ingestSync(docs(3)));
    const [request, ...others] = requests();
    expect(others).toEqual([]);
    expect(request).toMatchObject({
      name: `ingest ${INDEX}`,
      kind: SpanKind.CLIENT,
      status: { code: SpanStatusCode.UNSET },
      parentSpanContext: undefined,
      events: [],
    });
    expect(request?.links.map(({ context }) => context)).toEqual([
      expect.objectContaining({ traceId: caller.spanContext().traceId, spanId: caller.spanContext().spanId }),
    ]);
    expect(request?.attributes).toMatchObject({
      'baton.instance': 'default',
      'baton.outcome': 'accepted',
      'db.collection.name': INDEX,
      'db.operation.batch.size': 3,
      'http.request.body.size': sink.requests[0]?.body.length,
      'http.response.status_code': 200,
      'server.address': '127.0.0.1',
      'server.port': Number(new URL(sink.url).port),
    });
    expect(request?.attributes).not.toHaveProperty(['http.request.resend_count']);
  });

  it('link one request to each call it carries, once', async () => {
    const { service, gate } = await startHeld();
    const first = spans.inCaller('first', () => service.ingestSync(docs(1)));
    await gate.arrived();
    const others = ['second', 'third'].map((name) =>
      spans.inCaller(name, () => Promise.all([service.ingestSync(docs(2)), service.ingestSync(docs(1))])),
    );
    gate.open();
    const callers = await Promise.all([first, ...others]);
    const [one, two, three] = callers.map(({ caller }) => caller.spanContext().spanId);
    expect(requests().map(linked)).toEqual([[one], [two, three]]);
  });

  it('link a request to at most 64 calls, and count the others', async () => {
    const { service, gate } = await startHeld();
    const first = service.ingestSync(docs(1));
    await gate.arrived();
    const calls = docs(70).map((doc) => spans.inCaller(`call ${doc.id}`, () => service.ingestSync(doc)));
    gate.open();
    await Promise.all([first, ...calls]);
    const [, request] = requests();
    expect(request?.links).toHaveLength(64);
    expect(request?.attributes).toMatchObject({ 'db.operation.batch.size': 70, 'baton.links.omitted': 6 });
  });

  it('are active in their request, so that `auth` and instrumentations of the HTTP client go on with them', async () => {
    const sink = await startSink();
    const actives: (string | undefined)[] = [];
    const service = startIngest(sink.url, {
      auth: async () => {
        await Promise.resolve();
        actives.push(trace.getActiveSpan()?.spanContext().spanId);
        return {};
      },
    });
    await spans.inCaller('POST /events', () => service.ingestSync(docs(1)));
    await service.ingestSync(docs(1));
    expect(actives).toEqual(requests().map((request) => request.spanContext().spanId));
  });

  it('show each attempt, which one it is, and what came of it', async () => {
    const sink = await startSink();
    sink.fail([
      { kind: 'status', status: 429 },
      { kind: 'reset', when: 'after' },
      { kind: 'status', status: 503 },
    ]);
    const service = startIngest(sink.url);
    const { caller } = await spans.inCaller('POST /events', () => service.ingestSync(docs(2)));
    expect(ends()).toEqual([
      'retry 429 429 ERROR',
      expect.stringMatching(/^ambiguous - (ECONNRESET|UND_ERR_SOCKET) ERROR$/),
      'retry 503 503 ERROR',
      'accepted 200 - UNSET',
    ]);
    expect(requests().map(({ attributes }) => attributes['http.request.resend_count'])).toEqual([undefined, 1, 2, 3]);
    for (const request of requests()) expect(linked(request)).toEqual([caller.spanContext().spanId]);
    expect(new Set(requests().map((request) => request.spanContext().traceId)).size).toBe(4);
  });

  it('show what the server does not want', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { concurrency: 1 });
    sink.fail([
      { kind: 'status', status: 413 },
      { kind: 'status', status: 422 },
      { kind: 'status', status: 422 },
    ]);
    await service.ingestBatch(docs(2)).outcomes;
    expect(ends()).toEqual(['too_large 413 413 ERROR', 'refused 422 422 ERROR', 'refused 422 422 ERROR']);
    sink.fail([
      { kind: 'status', status: 403 },
      { kind: 'status', status: 403 },
    ]);
    await service.ingestBatch(docs(1)).outcomes;
    expect(ends().slice(3)).toEqual(['denied 403 403 ERROR', 'denied 403 403 ERROR']);
  });

  it('are named after the protocol', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { protocol: 'bulk' });
    await service.ingestSync(docs(2));
    expect(requests()).toMatchObject([
      {
        name: `bulk ${INDEX}`,
        attributes: {
          'db.system.name': 'elasticsearch',
          'db.operation.name': 'bulk',
          'http.response.status_code': 200,
        },
      },
    ]);
  });

  it('show a server that cannot be reached, and one that does not answer', async () => {
    const away = startIngest(`http://127.0.0.1:${await freePort()}`);
    const lost = away.ingestBatch(docs(1)).outcomes;
    await waitFor(() => requests().length > 0, { description: 'a request has failed' });
    expect(ends()[0]).toBe('retry - ECONNREFUSED ERROR');
    await away.close({ timeout: 0 });
    await lost;
    const before = requests().length;
    const sink = await startSink();
    sink.fail({ kind: 'stall', when: 'after' });
    const service = startIngest(sink.url, { requestTimeout: 100, ambiguous: 'report' });
    await service.ingestBatch(docs(1)).outcomes;
    expect(ends().slice(before)).toEqual(['ambiguous - ambiguous ERROR']);
  });

  it('end with the service, also those of requests that are under way', async () => {
    const sink = await startSink();
    sink.fail({ kind: 'stall', when: 'before' });
    const service = startIngest(sink.url);
    const receipt = service.ingestBatch(docs(1));
    await waitFor(() => sink.requests.length === 1, { description: 'the request is under way' });
    await service.close({ timeout: 0 });
    await receipt.outcomes;
    await waitFor(() => requests().length === 1, { description: 'its span has ended' });
    expect(ends()).toEqual(['ambiguous - ambiguous ERROR']);
  });

  it('link to nobody for documents that nobody tracks, whoever was active when their request left', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url, { maxBatchDocs: 2 });
    await spans.inCaller('POST /events', async () => {
      await service.ingest(docs(2));
      await service.flush();
    });
    expect(requests()).toMatchObject([{ links: [], parentSpanContext: undefined }]);
  });

  it('tell no document, no credential and no word of the server or of `auth`', async () => {
    const sink = await startSink({ validate: () => 'the field pin of s3cret-document is no number' });
    const service = startIngest(sink.url, { auth: { authorization: 's3cret-token' } });
    const failing = startIngest(sink.url, {
      auth: () => Promise.reject(new Error('s3cret-vault')),
      ambiguous: 'report',
    });
    const stuck = failing.ingestBatch([{ pin: 's3cret-document' }]);
    await waitFor(() => requests().length > 0, { description: 'auth has failed' });
    await failing.close({ timeout: 0 });
    await stuck.outcomes;
    sink.fail([{ kind: 'status', status: 422, message: 'cannot index s3cret-document' }]);
    await service.ingestBatch([{ pin: 's3cret-document' }]).outcomes;
    await service.ingestBatch([{ pin: 's3cret-document' }, { pin: 's3cret-document-2' }]).outcomes;
    sink.fail([{ kind: 'answer', status: 200, body: '{"s3cret-document' }]);
    const retried = service.ingestBatch([{ pin: 's3cret-document' }]);
    await retried.outcomes;
    expect(requests().length).toBeGreaterThan(4);
    expect(spans.text()).not.toContain('s3cret');
  });
});

describe('spans of instances', () => {
  let spans: CollectedSpans | undefined;

  afterEach(async () => {
    await stopAll();
    await spans?.unregister();
    spans = undefined;
    trace.disable();
  });

  it('are told apart, and go through a whole application', async () => {
    const sink = await startSink();
    const module = await Test.createTestingModule({
      imports: [IngestModule.forRoot({ name: 'audit', url: sink.url, index: 'audit-logs', maxDelay: 0 })],
    }).compile();
    await module.init();
    // Registered later than the application started.
    spans = CollectedSpans.register();
    await module.get<IngestService>(getIngestToken('audit')).ingestSync(docs(2));
    await module.close();
    expect(spans.of(PACKAGE)).toMatchObject([
      { name: 'ingest audit-logs', attributes: { 'baton.instance': 'audit', 'db.collection.name': 'audit-logs' } },
    ]);
  });

  it('are not needed', async () => {
    const sink = await startSink();
    const service = startIngest(sink.url);
    await service.ingestSync(docs(3));
    expect(service.stats()).toMatchObject({ accepted: 3 });
  });

  it('link to no caller that nobody records', async () => {
    const isCaller = (name: string): boolean => name === 'POST /events';
    spans = CollectedSpans.register({
      sampler: {
        shouldSample: (_context, _traceId, name) => ({
          decision: isCaller(name) ? SamplingDecision.NOT_RECORD : SamplingDecision.RECORD_AND_SAMPLED,
        }),
        toString: () => 'all but callers',
      },
    });
    const sink = await startSink();
    const service = startIngest(sink.url);
    await spans.inCaller('POST /events', () => service.ingestSync(docs(3)));
    expect(spans.ended).toMatchObject([{ name: `ingest ${INDEX}`, links: [] }]);
  });

  it('are not recorded where nothing is sampled, and documents are delivered all the same', async () => {
    spans = CollectedSpans.register({ sampler: new AlwaysOffSampler() });
    const sink = await startSink();
    const service = startIngest(sink.url);
    await spans.inCaller('POST /events', () => service.ingestSync(docs(3)));
    expect(service.stats()).toMatchObject({ accepted: 3 });
    expect(spans.ended).toEqual([]);
  });

  it.each(['getTracer', 'startSpan', 'setAttributes', 'setAttribute', 'end'])(
    'harm no document when %s of the SDK throws',
    async (method) => {
      trace.setGlobalTracerProvider(brokenTracerProvider(method));
      const sink = await startSink();
      sink.fail([{ kind: 'status', status: 503 }]);
      const service = startIngest(sink.url);
      await service.ingestSync(docs(3));
      await service.ingest(docs(2, 3));
      await service.flush();
      sink.fail([{ kind: 'status', status: 422 }]);
      expect(await errorOf(service.ingestSync(docs(1, 9)))).toMatchObject({ code: 'INGEST_DISCARDED' });
      expect(sink.documents(INDEX)).toEqual(docs(5));
      expect(await service.close()).toMatchObject({ unknown: 0 });
    },
  );
});
