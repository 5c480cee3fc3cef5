import { createTraceState, type SpanContext, TraceFlags } from '@opentelemetry/api';
import fc from 'fast-check';
import { readTraceContext, TRACEPARENT_LENGTH, writeTraceContext } from './trace-context-text.js';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';
const CONTEXT: SpanContext = { traceId: TRACE, spanId: SPAN, traceFlags: TraceFlags.SAMPLED };
const TEXT = `00-${TRACE}-${SPAN}-01`;

describe('writeTraceContext', () => {
  it('writes the traceparent of the specification, and what vendors added', () => {
    expect(writeTraceContext(CONTEXT)).toEqual({ traceparent: TEXT, tracestate: undefined });
    expect(TEXT).toHaveLength(TRACEPARENT_LENGTH);
    const traceState = createTraceState('congo=t61rcWkgMzE,rojo=00f067aa0ba902b7');
    expect(writeTraceContext({ ...CONTEXT, traceFlags: 0, traceState })).toEqual({
      traceparent: `00-${TRACE}-${SPAN}-00`,
      tracestate: 'congo=t61rcWkgMzE,rojo=00f067aa0ba902b7',
    });
  });

  it('is undefined for what is no context', () => {
    for (const broken of [
      undefined,
      { ...CONTEXT, traceId: '0'.repeat(32) },
      { ...CONTEXT, spanId: 'x' },
      { ...CONTEXT, traceId: TRACE.toUpperCase() },
    ])
      expect(writeTraceContext(broken)).toBeUndefined();
  });

  it('leaves out a tracestate that is too long, that breaks the line or that throws', () => {
    const long = createTraceState('a=1').set('b', 'x'.repeat(600));
    const broken = createTraceState('a=1').set('b', 'x\r\nset-cookie: y');
    const throwing = {
      ...createTraceState(),
      serialize: () => {
        throw new Error('no');
      },
    };
    for (const traceState of [long, broken, throwing, createTraceState()])
      expect(writeTraceContext({ ...CONTEXT, traceState: traceState })).toEqual({
        traceparent: TEXT,
        tracestate: undefined,
      });
  });

  it('writes no more than is bounded, and what can be read', () => {
    const hex = (length: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`));
    fc.assert(
      fc.property(hex(32), hex(16), fc.integer(), fc.string(), (traceId, spanId, traceFlags, raw) => {
        const text = writeTraceContext({ traceId, spanId, traceFlags, traceState: createTraceState(raw) });
        if (text === undefined) return /^0+$/.test(traceId) || /^0+$/.test(spanId);
        const read = readTraceContext(text.traceparent, text.tracestate);
        expect(text.traceparent).toHaveLength(TRACEPARENT_LENGTH);
        expect(read).toMatchObject({ traceId, spanId, isRemote: true });
        return writeTraceContext(read)?.traceparent === text.traceparent;
      }),
    );
  });
});

describe('readTraceContext', () => {
  it('reads what was written', () => {
    expect(readTraceContext(TEXT)).toEqual({ ...CONTEXT, isRemote: true });
    expect(readTraceContext(TEXT, 'congo=t61rcWkgMzE')?.traceState?.get('congo')).toBe('t61rcWkgMzE');
  });

  it('reads later versions as far as it knows them, and no unknown flags', () => {
    expect(readTraceContext(`01-${TRACE}-${SPAN}-01-more`)).toEqual({ ...CONTEXT, isRemote: true });
    expect(readTraceContext(`00-${TRACE}-${SPAN}-ff`)?.traceFlags).toBe(3);
  });

  it.each([
    [undefined],
    [null],
    [7],
    [{ toString: () => TEXT }],
    [[TEXT]],
    [''],
    [TEXT.toUpperCase()],
    [` ${TEXT}`],
    [`${TEXT}\n`],
    [`${TEXT}-more`],
    [`${TEXT}0`],
    [TEXT.slice(0, -1)],
    [`ff-${TRACE}-${SPAN}-01`],
    [`01-${TRACE}-${SPAN}-01.more`],
    [`00-${'0'.repeat(32)}-${SPAN}-01`],
    [`00-${TRACE}-${'0'.repeat(16)}-01`],
    [`00-${TRACE.slice(1)}g-${SPAN}-01`],
    [`01-${TRACE}-${SPAN}-01-${'x'.repeat(10_000_000)}`],
    ["'; DROP TABLE runs; --"],
  ])('is undefined for %p', (hostile) => {
    expect(readTraceContext(hostile)).toBeUndefined();
  });

  it('ignores a tracestate that is none', () => {
    for (const hostile of [undefined, null, 7, {}, '', ',,,', 'no', 'A=1', 'a=\u0000', 'a=1'.repeat(1_000)])
      expect(readTraceContext(TEXT, hostile)).toEqual({ ...CONTEXT, isRemote: true });
  });

  it('never throws', () => {
    fc.assert(fc.property(fc.anything(), fc.anything(), (a, b) => readTraceContext(a, b) === undefined));
    fc.assert(fc.property(fc.anything(), (state) => readTraceContext(TEXT, state)?.traceId === TRACE));
  });
});
