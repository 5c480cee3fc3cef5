import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base';
import { waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { brokenTracerProvider, CollectedSpans } from '../support/collected-spans.js';
import { plainRows } from '../support/documented-metrics.js';
import { freshService, keysOf, openRedis, startInstances } from './support/instance.js';
import { pull } from './support/pulling.js';

const PACKAGE = '@nest-baton/redis-reconcile';

/** What a span may say: the README has a row for each, and a span that says anything else fails its test. */
const ATTRIBUTES = new Set([
  'baton.attempt',
  'baton.instance',
  'baton.outcome',
  'error.type',
  'messaging.operation.name',
  'messaging.operation.type',
  'messaging.system',
]);

it('every attribute of a span is in the README', () => {
  const rows = plainRows('libs/redis-reconcile').join('\n');
  expect([...ATTRIBUTES].filter((name) => !rows.includes(`| \`${name}\` |`))).toEqual([]);
});

describe('spans', () => {
  const start = startInstances();
  let spans: CollectedSpans;
  let redis: Redis;

  beforeAll(() => {
    redis = openRedis();
  });
  afterAll(() => redis.disconnect());
  beforeEach(() => {
    spans = CollectedSpans.register();
  });
  afterEach(async () => {
    const unknown = all().flatMap(({ attributes }) => Object.keys(attributes).filter((name) => !ATTRIBUTES.has(name)));
    await spans.unregister();
    expect(unknown).toEqual([]);
  });

  const all = (): ReadableSpan[] => spans.of(PACKAGE);
  const of = (kind: SpanKind): ReadableSpan[] => all().filter((span) => span.kind === kind);

  it('link each attempt, its dead letter and what is redriven to the call that handed it off', async () => {
    let isFixed = false;
    const instance = await start({
      service: freshService(),
      options: { recovery: { maxRetries: 1 } },
      handle: async () => {
        if (!isFixed) throw new TypeError('secret');
      },
      onDeadLetter: async () => undefined,
    });
    const { caller, value: id } = await spans.inCaller('POST /runs', () =>
      instance.service.produce('secret-name', { info: { secret: 1 } }),
    );
    await waitFor(() => of(SpanKind.CONSUMER).some(({ name }) => name === 'handle dead letter'), {
      description: 'the dead letter is told',
    });
    isFixed = true;
    await waitFor(async () => (await instance.service.deadLetters.get(id))?.isHandled === true, {
      description: 'it is handled',
    });
    await instance.service.deadLetters.redrive(id);
    await waitFor(() => of(SpanKind.CONSUMER).length === 4, {
      description: 'two attempts, the letter and the redrive',
    });
    const [call, ...others] = of(SpanKind.PRODUCER);
    expect(others).toEqual([]);
    expect(call?.spanContext().traceId).toBe(caller.spanContext().traceId);
    expect(call?.parentSpanContext?.spanId).toBe(caller.spanContext().spanId);
    expect(call?.attributes).toMatchObject({ 'baton.outcome': 'added', 'baton.instance': 'default' });
    const consumed = of(SpanKind.CONSUMER);
    for (const span of consumed) {
      expect(span.links.map(({ context }) => context.spanId)).toEqual([call?.spanContext().spanId]);
      expect(span.parentSpanContext).toBeUndefined();
      expect(span.spanContext().traceId).not.toBe(caller.spanContext().traceId);
    }
    expect(consumed.map(({ name, attributes, status }) => [name, attributes['baton.attempt'], status.code])).toEqual([
      ['handle', 1, SpanStatusCode.ERROR],
      ['handle', 2, SpanStatusCode.ERROR],
      ['handle dead letter', 2, SpanStatusCode.UNSET],
      ['handle', 1, SpanStatusCode.UNSET],
    ]);
    expect(consumed[0]?.attributes['error.type']).toBe('TypeError');
    expect(JSON.stringify(all().map(({ name, attributes, events }) => [name, attributes, events]))).not.toContain(
      'secret',
    );
  });

  it('tell a duplicate, what was refused, and an iterator until the last word', async () => {
    const { service } = await start({ service: freshService() });
    await service.produce('x', { dedupeId: 'x' });
    await service.produce('x', { dedupeId: 'x' });
    await expect(service.produce('')).rejects.toMatchObject({ code: 'HANDOFF_INVALID' });
    expect(
      of(SpanKind.PRODUCER).map(({ attributes }) => attributes['baton.outcome'] ?? attributes['error.type']),
    ).toEqual(['added', 'duplicate', 'HANDOFF_INVALID']);
    const consumer = pull(service);
    await consumer.until('StreamAdded');
    expect(of(SpanKind.CONSUMER)).toEqual([]);
    await service.doneStream('x');
    await waitFor(() => of(SpanKind.CONSUMER).length === 1, { description: 'its span' });
  });

  it('are linked to a context that a raw entry brought, and to none that is none', async () => {
    const name = freshService();
    await start({ service: name, handle: async () => undefined });
    const spanId = '00f067aa0ba902b7';
    const { stream } = keysOf(name);
    await redis.xadd(stream, '*', 'stream', 'a', 'traceparent', `00-4bf92f3577b34da6a3ce929d0e0e4736-${spanId}-01`);
    await redis.xadd(stream, '*', 'stream', 'b', 'traceparent', "'; DROP TABLE runs; --");
    await waitFor(() => of(SpanKind.CONSUMER).length === 2, { description: 'both were handled' });
    expect(of(SpanKind.CONSUMER).flatMap(({ links }) => links.map(({ context }) => context.spanId))).toEqual([spanId]);
  });

  it('that cannot be recorded harm no work', async () => {
    await spans.unregister();
    trace.setGlobalTracerProvider(brokenTracerProvider('startSpan'));
    const done: string[] = [];
    const { service } = await start({
      service: freshService(),
      handle: async ({ dataStream }) => void done.push(dataStream),
    });
    await service.produce('x');
    await waitFor(() => done.length === 1, { description: 'it is done' });
    trace.disable();
    spans = CollectedSpans.register();
  });
});
