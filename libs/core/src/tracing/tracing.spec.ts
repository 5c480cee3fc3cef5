import { context, diag, DiagLogLevel, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { AlwaysOffSampler } from '@opentelemetry/sdk-trace-base';
import { brokenTracerProvider, CollectedSpans } from '../../../../test/support/collected-spans.js';
import { activeSpanContext, isSampled } from './active-span.js';
import { readTraceContext, writeTraceContext } from './trace-context-text.js';
import { Tracing } from './tracing.js';

const SCOPE = { package: '@nest-baton/post-office', version: '1.2.3' } as const;

let spans: CollectedSpans | undefined;

function register(...options: Parameters<typeof CollectedSpans.register>): CollectedSpans {
  return (spans = CollectedSpans.register(...options));
}

afterEach(async () => {
  diag.disable();
  await spans?.unregister();
  spans = undefined;
  trace.disable();
  context.disable();
});

describe('spans', () => {
  it('belong to the package, carry the instance, and have the active span for a parent', async () => {
    const collected = register();
    const tracing = new Tracing(SCOPE, 'night');
    const { caller } = await collected.inCaller('POST /letters', async () =>
      tracing.begin('sort', { kind: SpanKind.PRODUCER, attributes: { letters: 3 } }).end({ attributes: { sorted: 2 } }),
    );
    expect(collected.of(SCOPE.package)).toMatchObject([
      {
        name: 'sort',
        kind: SpanKind.PRODUCER,
        instrumentationScope: { name: SCOPE.package, version: '1.2.3' },
        attributes: { 'baton.instance': 'night', letters: 3, sorted: 2 },
        parentSpanContext: { spanId: caller.spanContext().spanId },
        status: { code: SpanStatusCode.UNSET },
        links: [],
      },
    ]);
  });

  it('go on with the trace of a context that was stored as text', async () => {
    const collected = register();
    const { value: stored, caller } = await collected.inCaller('POST /letters', async () =>
      writeTraceContext(activeSpanContext()),
    );
    await collected.inCaller('the relay', async () =>
      new Tracing(SCOPE, 'default').begin('deliver', { parent: readTraceContext(stored?.traceparent) }).end(),
    );
    const [delivered] = collected.of(SCOPE.package);
    expect(delivered?.spanContext().traceId).toBe(caller.spanContext().traceId);
    expect(delivered?.parentSpanContext).toMatchObject({ spanId: caller.spanContext().spanId, isRemote: true });
  });

  it('done for many are a trace of their own, with a bounded number of links', async () => {
    const collected = register();
    const contexts = Array.from({ length: 70 }, (_, i) => ({
      traceId: 'a'.repeat(32),
      spanId: (i + 1).toString(16).padStart(16, '0'),
      traceFlags: 1,
    }));
    const { caller } = await collected.inCaller('whoever came last', async () =>
      new Tracing(SCOPE, 'default').begin('deliver', { parent: 'none', links: contexts }).end(),
    );
    const [delivered] = collected.of(SCOPE.package);
    expect(delivered?.parentSpanContext).toBeUndefined();
    expect(delivered?.spanContext().traceId).not.toBe(caller.spanContext().traceId);
    expect(delivered?.links.map((link) => link.context)).toEqual(contexts.slice(0, 64));
    expect(delivered?.attributes).toMatchObject({ 'baton.links.omitted': 6 });
  });

  it('are active in what runs in them, and end with it', async () => {
    const collected = register();
    const tracing = new Tracing(SCOPE, 'default');
    const seen = await tracing.inSpan('outer', { parent: 'none' }, async () => {
      await Promise.resolve();
      return activeSpanContext();
    });
    const [outer] = collected.of(SCOPE.package);
    expect(seen).toEqual({ ...outer?.spanContext(), traceState: undefined });
    expect(seen !== undefined && isSampled(seen)).toBe(true);
    expect(activeSpanContext()).toBeUndefined();
    expect(tracing.begin('sync').run(() => 7)).toBe(7);
  });

  it('are heeded with an SDK, also one that comes later or is broken, and where a context is active', () => {
    const tracing = new Tracing(SCOPE, 'default');
    expect(tracing.isHeeded).toBe(false);
    register();
    expect(tracing.isHeeded).toBe(true);
    trace.disable();
    expect(tracing.isHeeded).toBe(false);
    context.with(ROOT_CONTEXT.setValue(Symbol('of the application'), 1), () => expect(tracing.isHeeded).toBe(true));
    trace.setGlobalTracerProvider(brokenTracerProvider('getTracer'));
    expect(tracing.isHeeded).toBe(true);
  });

  it('tell the type of an error and not a word of it', async () => {
    const collected = register();
    const tracing = new Tracing(SCOPE, 'default');
    const error = Object.assign(new Error('cannot store {"secret":"s3cret"}'), { code: 'E_STORE' });
    await expect(tracing.inSpan('rejects', {}, () => Promise.reject(error))).rejects.toBe(error);
    const throws = () => {
      throw error;
    };
    await expect(tracing.inSpan('throws', {}, throws)).rejects.toBe(error);
    for (const { attributes, status, events } of collected.of(SCOPE.package)) {
      expect(attributes).toEqual({ 'baton.instance': 'default', 'error.type': 'E_STORE' });
      expect(status).toEqual({ code: SpanStatusCode.ERROR });
      expect(events).toEqual([]);
    }
    expect(collected.ended).toHaveLength(2);
    expect(collected.text()).not.toContain('s3cret');
  });

  it('end once', () => {
    const collected = register();
    const complaints: string[] = [];
    listen(complaints);
    const span = new Tracing(SCOPE, 'default').begin('sort');
    span.end();
    span.end({ errorType: 'late' });
    expect(collected.ended).toHaveLength(1);
    expect(collected.ended[0]?.attributes).not.toHaveProperty('error.type');
    expect(complaints).toEqual([]);
  });
});

describe('the SDK', () => {
  it('is not needed', async () => {
    const tracing = new Tracing(SCOPE, 'default');
    expect(activeSpanContext()).toBeUndefined();
    expect(await tracing.inSpan('sort', { links: [] }, () => 7)).toBe(7);
    expect(tracing.begin('sort').run(() => 8)).toBe(8);
  });

  it('may be registered after the first span, and again after it was shut down', async () => {
    const tracing = new Tracing(SCOPE, 'default');
    tracing.begin('unseen').end();
    const first = register();
    tracing.begin('one').end();
    await first.unregister();
    tracing.begin('unseen').end();
    const second = register();
    tracing.begin('two').end();
    expect(first.ended.map(({ name }) => name)).toEqual(['one']);
    expect(second.ended.map(({ name }) => name)).toEqual(['two']);
  });

  it('may sample nothing: the context still goes on, as one that nobody records', async () => {
    const collected = register({ sampler: new AlwaysOffSampler() });
    const inside = await new Tracing(SCOPE, 'default').inSpan('sort', {}, () => activeSpanContext());
    expect(inside !== undefined && isSampled(inside)).toBe(false);
    expect(writeTraceContext(inside)?.traceparent).toMatch(/-00$/);
    expect(collected.ended).toEqual([]);
  });

  it('harms nobody when it throws, wherever it does', async () => {
    const complaints: string[] = [];
    for (const broken of ['getTracer', 'startSpan', 'setAttributes', 'setStatus', 'end', 'spanContext'])
      for (const diagThrows of [false, true]) {
        listen(complaints, diagThrows);
        trace.setGlobalTracerProvider(brokenTracerProvider(broken));
        const tracing = new Tracing(SCOPE, 'default');
        expect(await tracing.inSpan('sort', { attributes: {} }, () => 7)).toBe(7);
        const span = tracing.begin('sort');
        expect(span.run(() => 8)).toBe(8);
        span.end({ attributes: { a: 1 }, errorType: 'x' });
        trace.disable();
      }
    expect(complaints.join()).toContain('a span could not be recorded: startSpan is broken');
  });

  it.each(['before', 'after', 'instead', 'twice'])('calls once though the context manager fails %s', (when) => {
    register();
    context.disable();
    let isBroken = false;
    context.setGlobalContextManager({
      active: () => {
        if (isBroken) throw new Error('broken');
        return ROOT_CONTEXT;
      },
      with: (_around, fn, thisArg, ...args) => {
        if (when === 'before') throw new Error('broken');
        if (when === 'instead') return undefined as never;
        const value = fn.call(thisArg as never, ...args);
        if (when === 'twice') fn.call(thisArg as never, ...args);
        if (when === 'after') throw new Error('broken');
        return value;
      },
      bind: (_around, target) => target,
      enable() {
        return this;
      },
      disable() {
        return this;
      },
    });
    const span = new Tracing(SCOPE, 'default').begin('sort');
    let calls = 0;
    expect(span.run(() => ++calls)).toBe(1);
    const thrown = new Error('its own');
    const throws = () => {
      calls++;
      throw thrown;
    };
    expect(() => span.run(throws)).toThrow(thrown);
    expect(calls).toBe(2);
    isBroken = true;
    expect(activeSpanContext()).toBeUndefined();
    expect(new Tracing(SCOPE, 'default').begin('sort').run(() => 9)).toBe(9);
  });
});

function listen(complaints: string[], throws = false): void {
  const hear = (message: string): void => {
    complaints.push(message);
    if (throws) throw new Error('the logger is broken too');
  };
  diag.disable();
  diag.setLogger(
    { error: hear, warn: hear, info: () => undefined, debug: () => undefined, verbose: () => undefined },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  );
}
