import { type Attributes, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base';
import { freePort, waitFor } from '@nest-baton/testing';
import { brokenTracerProvider, CollectedSpans } from '../support/collected-spans.js';
import { plainRows } from '../support/documented-metrics.js';
import { header, OutboxWorld } from './support/outbox-world.js';

const PACKAGE = '@nest-baton/webhook-outbox';

/** What a span may say: the README has a row for each, and a span that says anything else fails its test. */
const ATTRIBUTES = new Set([
  'baton.instance',
  'baton.outcome',
  'error.type',
  'http.request.body.size',
  'http.request.method',
  'http.request.resend_count',
  'http.response.status_code',
  'messaging.batch.message_count',
  'messaging.operation.name',
  'messaging.operation.type',
  'messaging.system',
  'server.address',
  'server.port',
]);

it('every attribute of a span is in the README', () => {
  const rows = plainRows('libs/webhook-outbox').join('\n');
  expect([...ATTRIBUTES].filter((name) => !rows.includes(`| \`${name}\` |`))).toEqual([]);
});

describe('spans', () => {
  let world: OutboxWorld;
  let spans: CollectedSpans;
  beforeEach(async () => {
    world = await OutboxWorld.create();
    spans = CollectedSpans.register();
  });

  afterEach(async () => {
    await world.stop();
    const unknown = all().flatMap(({ attributes }) => Object.keys(attributes).filter((name) => !ATTRIBUTES.has(name)));
    await spans.unregister();
    expect(unknown).toEqual([]);
  });

  const all = (): ReadableSpan[] => spans.of(PACKAGE);
  const of = (kind: SpanKind): ReadableSpan[] => all().filter((span) => span.kind === kind);

  it('link each request, in a trace of its own, to the call that sent the event, which is in the trace of its caller', async () => {
    world.receiver.answer([{ status: 503 }, { status: 200 }]);
    const app = await world.start();
    await world.endpoint(app, 'x?token=secret');
    const { caller } = await spans.inCaller('POST /orders', () =>
      app.dataSource.transaction((transaction) =>
        app.outbox.send({ type: 'order.created', id: 'order-1', data: { secret: 1 } }, { transaction }),
      ),
    );
    await waitFor(() => of(SpanKind.CLIENT).length === 2, { description: 'two requests' });
    const [call, ...others] = of(SpanKind.PRODUCER);
    expect(others).toEqual([]);
    expect(call).toMatchObject({
      name: 'send order.created',
      parentSpanContext: { spanId: caller.spanContext().spanId },
      attributes: { 'messaging.operation.name': 'send', 'baton.outcome': 'persisted', 'baton.instance': 'default' },
    });
    const requests = of(SpanKind.CLIENT);
    for (const request of requests) {
      expect(request.name).toBe('POST');
      expect(request.parentSpanContext).toBeUndefined();
      expect(request.spanContext().traceId).not.toBe(call!.spanContext().traceId);
      expect(request.links.map(({ context }) => [context.traceId, context.spanId])).toEqual([
        [call!.spanContext().traceId, call!.spanContext().spanId],
      ]);
    }
    const attributes = (nth: number): Attributes => requests[nth]!.attributes;
    expect(attributes(0)).toMatchObject({
      'http.response.status_code': 503,
      'error.type': '503',
      'server.address': '127.0.0.1',
    });
    expect(attributes(1)).toMatchObject({ 'http.response.status_code': 200, 'http.request.resend_count': 1 });
    expect(requests.map(({ status }) => status.code)).toEqual([SpanStatusCode.ERROR, SpanStatusCode.UNSET]);
    for (const hidden of ['secret', 'order-1', 'token']) expect(spans.text()).not.toContain(hidden);
    expect(header(world.receiver.requests[0]!, 'traceparent')).toBe('undefined');
  });

  it('show a call with many events as one, and link it from each of their requests', async () => {
    const app = await world.start();
    await world.endpoint(app, 'x');
    await app.outbox.sendMany([1, 2, 3].map((data) => ({ type: 'a', data })));
    await waitFor(() => of(SpanKind.CLIENT).length === 3, { description: 'three requests' });
    const [call] = of(SpanKind.PRODUCER);
    expect(call).toMatchObject({ name: 'send many', attributes: { 'messaging.batch.message_count': 3 } });
    const linked = of(SpanKind.CLIENT).map(({ links }) => links[0]?.context.spanId);
    expect(linked).toEqual(Array(3).fill(call!.spanContext().spanId));
  });

  it('tell why a call or a request failed, by its type only', async () => {
    const app = await world.start({ schedule: [] });
    const port = await freePort();
    await app.endpoints.create({ url: `http://127.0.0.1:${port}/closed`, types: ['a'] });
    await app.outbox.send({ type: 'a', id: 'one', data: { secret: 1 } });
    await expect(app.outbox.send({ type: 'a', id: 'one', data: { secret: 2 } })).rejects.toThrow();
    await waitFor(() => of(SpanKind.CLIENT).length === 1, { description: 'the request' });
    expect(of(SpanKind.PRODUCER).map(({ attributes }) => attributes['error.type'])).toEqual([
      undefined,
      'EVENT_CONFLICT',
    ]);
    expect(of(SpanKind.CLIENT)[0]?.attributes).toMatchObject({ 'error.type': 'network', 'server.port': port });
    expect(spans.text()).not.toContain('secret');
  });
});

it.each(['getTracer', 'startSpan', 'spanContext', 'setAttributes', 'end'])(
  'no event is harmed when %s of the SDK throws, and none without an SDK has a trace',
  async (method) => {
    const world = await OutboxWorld.create();
    const app = await world.start();
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    trace.setGlobalTracerProvider(brokenTracerProvider(method));
    await app.outbox.send({ type: 'a', data: 2 });
    await world.settled(2);
    trace.disable();
    const { rows } = await world.admin.query('SELECT DISTINCT trace FROM baton.webhook_events');
    expect(rows).toEqual([{ trace: null }]);
    await world.stop();
  },
);
