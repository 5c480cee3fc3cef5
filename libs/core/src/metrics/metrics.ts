import { type Attributes, type Counter, type Histogram, type Meter, metrics } from '@opentelemetry/api';
import { type Clock, systemClock } from '../clock.js';
import { type Gauge, GaugeObserver } from './gauge-observer.js';
import { metricName, type MetricRow, type MetricTable } from './metric-table.js';

type Rows<Table extends MetricTable> = Table['instruments'];
type Named<Table extends MetricTable, Row> = {
  [Name in keyof Rows<Table>]: Rows<Table>[Name] extends Row ? Name & string : never;
}[keyof Rows<Table>];

/** The instruments of a kind that have no attribute of their own, and those that have one. */
type Plain<Table extends MetricTable, Kind> = Exclude<Named<Table, { kind: Kind }>, Split<Table, Kind>>;
type Split<Table extends MetricTable, Kind> = Named<Table, { kind: Kind; by: string }>;

type ValueOf<Table extends MetricTable, Name extends keyof Rows<Table>> = Rows<Table>[Name] extends {
  readonly values: readonly (infer Value extends string)[];
}
  ? Value
  : never;

/** What gauges show: a number, or one for each value of the instrument's attribute. What is missing or undefined is a missing point. */
export type GaugeReadings<Table extends MetricTable> = {
  readonly [Name in Plain<Table, 'gauge'>]?: number | undefined;
} & {
  readonly [Name in Split<Table, 'gauge'>]?: { readonly [Value in ValueOf<Table, Name>]?: number | undefined };
};

interface Instrument {
  readonly row: MetricRow;
  readonly name: string;
  /** Made once: a call on a hot path makes no object. */
  readonly attributes: Attributes;
  readonly byValue: Readonly<Record<string, Attributes>>;
  counter?: Counter;
  histogram?: Histogram;
}

/**
 * The OpenTelemetry instruments of one instance of a lib.
 *
 * - They belong to the SDK that is registered when `start()` is called: one that is registered later is not seen, since the API has no meter
 *   that waits for it. Before, and without an SDK, every call does nothing, at the cost of a look-up.
 * - Nothing here throws: a gauge that cannot be read is a missing point, told to OpenTelemetry's `diag`.
 * - After `stop()` a collection calls nothing of ours; counters and histograms still take what the rest of a shutdown tells them.
 */
export class Metrics<Table extends MetricTable> {
  private readonly instruments: ReadonlyMap<string, Instrument>;
  private observer: GaugeObserver | undefined;
  private isStarted = false;

  constructor(
    private readonly table: Table,
    instance: string,
  ) {
    this.instruments = new Map(
      Object.entries(table.instruments).map(([key, row]) => [key, declare(row, metricName(table, key), instance)]),
    );
  }

  add(counter: Plain<Table, 'counter'>, amount: number): void;
  add<Name extends Split<Table, 'counter'>>(counter: Name, amount: number, value: ValueOf<Table, Name>): void;
  add(name: string, amount: number, value?: string): void {
    const instrument = this.instruments.get(name);
    instrument?.counter?.add(amount, attributesOf(instrument, value));
  }

  /** Durations in seconds: see `secondsSince`. */
  record(histogram: Plain<Table, 'histogram'>, measured: number): void;
  record<Name extends Split<Table, 'histogram'>>(histogram: Name, measured: number, value: ValueOf<Table, Name>): void;
  record(name: string, measured: number, value?: string): void {
    const instrument = this.instruments.get(name);
    instrument?.histogram?.record(measured, attributesOf(instrument, value));
  }

  /**
   * Takes the meter, and from then on answers collections. Idempotent, and a no-op after `stop()`.
   *
   * @param now reads the gauges whose values are at hand. It must not wait.
   * @param query reads those that a server must be asked for: at most one at a time, for at most 2 s, then its signal is aborted and the points
   *   are missing. Collections that overlap share one.
   */
  start(now: () => GaugeReadings<Table>, query?: (signal: AbortSignal) => Promise<GaugeReadings<Table>>): void {
    if (this.isStarted) return;
    this.isStarted = true;
    const meter = metrics.getMeter(this.table.package, this.table.version);
    const gauges = new Map<string, Gauge>();
    for (const [key, instrument] of this.instruments) {
      const gauge = make(meter, instrument);
      if (gauge !== undefined) gauges.set(key, gauge);
    }
    if (gauges.size === 0) return;
    this.observer = new GaugeObserver(meter, gauges, now, query);
    this.observer.start();
  }

  /** Returns when nothing of ours is read any more; a query that does not heed its signal is left behind after a second. */
  async stop(): Promise<void> {
    this.isStarted = true;
    await this.observer?.stop();
  }
}

/** Seconds since `startedMs`, a reading of the same clock's `monotonic()`. */
export function secondsSince(startedMs: number, clock: Clock = systemClock): number {
  return (clock.monotonic() - startedMs) / 1000;
}

function declare(row: MetricRow, name: string, instance: string): Instrument {
  const attributes = Object.freeze({ 'baton.instance': instance });
  const values = row.by === undefined ? [] : row.values;
  const byValue = values.map((value) => [value, Object.freeze({ ...attributes, [`baton.${row.by}`]: value })] as const);
  return { row, name, attributes, byValue: Object.fromEntries(byValue) };
}

function attributesOf(instrument: Instrument, value: string | undefined): Attributes {
  return (value === undefined ? undefined : instrument.byValue[value]) ?? instrument.attributes;
}

function make(meter: Meter, instrument: Instrument): Gauge | undefined {
  const { row, name, attributes, byValue } = instrument;
  const { unit, description } = row;
  switch (row.kind) {
    case 'counter':
      instrument.counter = meter.createCounter(name, { unit, description });
      return undefined;
    case 'histogram':
      instrument.histogram = meter.createHistogram(name, {
        unit,
        description,
        advice: { explicitBucketBoundaries: [...row.buckets] },
      });
      return undefined;
    case 'gauge':
      return { observable: meter.createObservableGauge(name, { unit, description }), attributes, byValue };
  }
}
