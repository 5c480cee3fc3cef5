import { jest } from '@jest/globals';
import { diag, DiagLogLevel, metrics } from '@opentelemetry/api';
import { AggregationTemporality, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import { LONG_SECONDS, metricName, type MetricTable, QUICK_SECONDS } from './metric-table.js';
import { type GaugeReadings, Metrics, secondsSince } from './metrics.js';

const TABLE = {
  package: '@nest-baton/post-office',
  version: '1.2.3',
  instruments: {
    'letters.sent': { kind: 'counter', unit: '{letter}', description: 'Letters sent.' },
    'letters.ended': {
      kind: 'counter',
      by: 'outcome',
      values: ['delivered', 'returned'],
      unit: '{letter}',
      description: 'Letters that came to an end.',
    },
    'journey.duration': { kind: 'histogram', unit: 's', buckets: [0.1, 1], description: 'From box to box.' },
    'counter.duration': {
      kind: 'histogram',
      by: 'clerk',
      values: ['kind', 'tired'],
      unit: 's',
      buckets: QUICK_SECONDS,
      description: 'At the counter.',
    },
    'letters.waiting': { kind: 'gauge', unit: '{letter}', description: 'In the box.' },
    'counters.open': { kind: 'gauge', by: 'hall', values: ['north', 'south'], unit: '{counter}', description: 'Open.' },
  },
} as const satisfies MetricTable;

/** Delta: each collection shows what was observed in it. With cumulative points the SDK repeats the last reading of a gauge for ever. */
class ManualReader extends MetricReader {
  constructor() {
    super({ aggregationTemporalitySelector: () => AggregationTemporality.DELTA });
  }
  protected override onForceFlush = async (): Promise<void> => undefined;
  protected override onShutdown = async (): Promise<void> => undefined;
}

let reader: ManualReader;
let otherReader: ManualReader;
let provider: MeterProvider;
const begun: Metrics<typeof TABLE>[] = [];

beforeEach(() => {
  reader = new ManualReader();
  otherReader = new ManualReader();
  provider = new MeterProvider({ readers: [reader, otherReader] });
  metrics.setGlobalMeterProvider(provider);
});

afterEach(async () => {
  jest.useRealTimers();
  diag.disable();
  for (const one of begun.splice(0)) await one.stop();
  metrics.disable();
  await provider.shutdown();
});

function newMetrics(instance = 'default'): Metrics<typeof TABLE> {
  const made = new Metrics(TABLE, instance);
  begun.push(made);
  return made;
}

/** Everything that a collection gives: name, attributes as text, value. */
async function points(by = reader): Promise<Record<string, unknown>> {
  const { resourceMetrics } = await by.collect();
  const all: Record<string, unknown> = {};
  for (const { metrics: collected } of resourceMetrics.scopeMetrics)
    for (const { descriptor, dataPoints } of collected)
      for (const { attributes, value } of dataPoints)
        all[`${descriptor.name} ${Object.values(attributes).join(' ')}`] =
          typeof value === 'number' ? value : (value as { sum?: number }).sum;
  return all;
}

const nothing = (): GaugeReadings<typeof TABLE> => ({});

describe('instruments', () => {
  it('are named after the package, and carry the instance and their own attribute', async () => {
    expect(metricName(TABLE, 'letters.sent')).toBe('baton.post_office.letters.sent');
    const [first, second] = [newMetrics(), newMetrics('night')];
    for (const one of [first, second])
      one.start(() => ({ 'letters.waiting': 3, 'counters.open': { north: 2, south: 1 } }));
    first.add('letters.sent', 2);
    second.add('letters.sent', 5);
    first.add('letters.ended', 1, 'returned');
    second.record('journey.duration', 0.25);
    second.record('counter.duration', 0.5, 'tired');
    expect(await points()).toEqual({
      'baton.post_office.letters.sent default': 2,
      'baton.post_office.letters.sent night': 5,
      'baton.post_office.letters.ended default returned': 1,
      'baton.post_office.journey.duration night': 0.25,
      'baton.post_office.counter.duration night tired': 0.5,
      'baton.post_office.letters.waiting default': 3,
      'baton.post_office.letters.waiting night': 3,
      'baton.post_office.counters.open default north': 2,
      'baton.post_office.counters.open default south': 1,
      'baton.post_office.counters.open night north': 2,
      'baton.post_office.counters.open night south': 1,
    });
    first.add('letters.ended', 1, 'returned');
    second.record('journey.duration', 0.25);
    const { resourceMetrics } = await reader.collect();
    const [scope] = resourceMetrics.scopeMetrics;
    expect(scope?.scope).toMatchObject({ name: '@nest-baton/post-office', version: '1.2.3' });
    const ended = scope?.metrics.find(({ descriptor }) => descriptor.name.endsWith('letters.ended'));
    expect(ended?.descriptor).toMatchObject({ unit: '{letter}', description: 'Letters that came to an end.' });
    expect(ended?.dataPoints[0]?.attributes).toEqual({ 'baton.instance': 'default', 'baton.outcome': 'returned' });
    const journey = scope?.metrics.find(({ descriptor }) => descriptor.name.endsWith('journey.duration'));
    expect((journey?.dataPoints[0]?.value as { buckets: { boundaries: number[] } }).buckets.boundaries).toEqual([
      0.1, 1,
    ]);
  });

  it('do nothing before start, and nothing without an SDK', async () => {
    const early = newMetrics();
    early.add('letters.sent', 1);
    metrics.disable();
    early.start(() => {
      throw new Error('nobody reads this');
    });
    early.add('letters.sent', 1);
    early.record('counter.duration', 1, 'kind');
    expect(await points()).toEqual({});
  });

  it('take a second start as none, and no start after stop', async () => {
    const twice = newMetrics();
    twice.start(() => ({ 'letters.waiting': 1 }));
    twice.start(() => ({ 'letters.waiting': 2 }));
    expect(await points()).toEqual({ 'baton.post_office.letters.waiting default': 1 });
    await twice.stop();
    twice.start(() => ({ 'letters.waiting': 3 }));
    const never = newMetrics('never');
    await never.stop();
    never.start(() => ({ 'letters.waiting': 4 }));
    expect(await points()).toEqual({});
  });

  it('make no object for a call: the same attributes each time', () => {
    const seen: unknown[] = [];
    jest.spyOn(provider, 'getMeter').mockReturnValue(
      Object.assign(provider.getMeter('spied'), {
        createCounter: () => ({ add: (_: number, a: unknown) => seen.push(a) }),
      }),
    );
    const one = newMetrics();
    one.start(nothing);
    one.add('letters.ended', 1, 'delivered');
    one.add('letters.ended', 1, 'delivered');
    expect(seen[0]).toEqual({ 'baton.instance': 'default', 'baton.outcome': 'delivered' });
    expect(seen[1]).toBe(seen[0]);
  });

  it('have bounds that ascend', () => {
    for (const bounds of [QUICK_SECONDS, LONG_SECONDS]) expect(bounds).toEqual(bounds.toSorted((a, b) => a - b));
  });

  it('measure in seconds', () => {
    expect(secondsSince(1_000, { now: () => 0, monotonic: () => 3_500 })).toBe(2.5);
  });
});

describe('gauges', () => {
  it('leave out what is not known, and what the table does not name', async () => {
    newMetrics().start(
      () => ({ 'letters.waiting': undefined, 'counters.open': { north: 1, east: 2 }, other: 1 }) as never,
    );
    expect(await points()).toEqual({ 'baton.post_office.counters.open default north': 1 });
  });

  it('that cannot be read are missing points; the others are there, and nothing throws', async () => {
    const warned: string[] = [];
    const log = (message: string) => void warned.push(message);
    diag.setLogger({ error: log, warn: log, info: log, debug: log, verbose: log }, DiagLogLevel.WARN);
    const one = newMetrics();
    one.start(
      () => {
        throw new Error('no box');
      },
      async () => ({ 'counters.open': { south: 4 } }),
    );
    newMetrics('night').start(
      () => ({ 'letters.waiting': 7 }),
      () => {
        throw new Error('no hall');
      },
    );
    expect((await reader.collect()).errors).toEqual([]);
    expect(await points()).toEqual({
      'baton.post_office.counters.open default south': 4,
      'baton.post_office.letters.waiting night': 7,
    });
    expect(warned.slice(0, 2)).toEqual([expect.stringContaining('no box'), expect.stringContaining('no hall')]);
  });

  it('are not read after stop', async () => {
    const now = jest.fn(() => ({ 'letters.waiting': 1 }));
    const query = jest.fn(async () => ({ 'counters.open': { north: 1 } }));
    const one = newMetrics();
    one.start(now, query);
    one.add('letters.sent', 1);
    await points();
    await one.stop();
    await one.stop();
    one.add('letters.sent', 1);
    expect(await points()).toEqual({ 'baton.post_office.letters.sent default': 1 });
    expect([now.mock.calls.length, query.mock.calls.length]).toEqual([1, 1]);
  });
});

describe('gauges that are asked for', () => {
  it('share one query among readers that collect at the same moment', async () => {
    let open!: () => void;
    const gate = new Promise<void>((resolve) => (open = resolve));
    const query = jest.fn(async () => gate.then(() => ({ 'letters.waiting': 9 })));
    newMetrics().start(nothing, query);
    const both = Promise.all([points(), points(otherReader)]);
    open();
    expect(await both).toEqual(Array(2).fill({ 'baton.post_office.letters.waiting default': 9 }));
    expect(query).toHaveBeenCalledTimes(1);
    await points();
    expect(query).toHaveBeenCalledTimes(2);
  });

  it('are missing after 2 s, and are not asked for again before the hanging query has ended', async () => {
    jest.useFakeTimers();
    let end!: () => void;
    const signals: AbortSignal[] = [];
    const query = jest.fn(async (signal: AbortSignal) => {
      signals.push(signal);
      if (signals.length === 1) await new Promise<void>((resolve) => (end = resolve));
      return { 'letters.waiting': signals.length };
    });
    newMetrics().start(() => ({ 'counters.open': { north: 1 } }), query);
    const first = points();
    await jest.advanceTimersByTimeAsync(1_999);
    expect(signals[0]?.aborted).toBe(false);
    await jest.advanceTimersByTimeAsync(1);
    expect(await first).toEqual({ 'baton.post_office.counters.open default north': 1 });
    expect(signals[0]?.aborted).toBe(true);
    expect(await points()).toEqual({ 'baton.post_office.counters.open default north': 1 });
    expect(query).toHaveBeenCalledTimes(1);
    end();
    await jest.advanceTimersByTimeAsync(0);
    expect(await points()).toMatchObject({ 'baton.post_office.letters.waiting default': 2 });
    expect(jest.getTimerCount()).toBe(0);
  });

  it('are let go by stop: the signal is aborted, nothing is shown, and one that does not heed it is left after a second', async () => {
    jest.useFakeTimers();
    let signal: AbortSignal | undefined;
    const one = newMetrics();
    one.start(nothing, async (given) => {
      signal = given;
      return new Promise(() => undefined);
    });
    const collected = points();
    await jest.advanceTimersByTimeAsync(0);
    const stopped = jest.fn();
    void one.stop().then(stopped);
    expect(signal?.aborted).toBe(true);
    await jest.advanceTimersByTimeAsync(999);
    expect(stopped).not.toHaveBeenCalled();
    await jest.advanceTimersByTimeAsync(1);
    expect(stopped).toHaveBeenCalled();
    await jest.advanceTimersByTimeAsync(2_000);
    expect(await collected).toEqual({});
  });
});
