interface Described {
  /** UCUM: `s`, `By`, `1`, or the thing that is counted, as in `{chunk}`. Durations are in seconds, with fractions. */
  readonly unit: string;
  readonly description: string;
}

/** One attribute of the instrument's own, `baton.<by>`, whose values are all known here: never a name, an id or a URL. */
type Divided = { readonly by?: undefined } | { readonly by: string; readonly values: readonly string[] };

/** What happened: it only grows. */
export type CounterRow = Described & Divided & { readonly kind: 'counter' };

/** How long or how large each of many was. `buckets` are upper bounds in the instrument's unit, ascending. */
export type HistogramRow = Described & Divided & { readonly kind: 'histogram'; readonly buckets: readonly number[] };

/** What is there now, read when somebody collects. */
export type GaugeRow = Described & Divided & { readonly kind: 'gauge' };

export type MetricRow = CounterRow | HistogramRow | GaugeRow;

/**
 * The instruments of a lib, as its README shows them. The instrument `chunks.appended` of `@nest-baton/pg-stream` is called
 * `baton.pg_stream.chunks.appended` outside, and each of its points carries `baton.instance`.
 */
export interface MetricTable {
  /** The package, which is also the name of its meter. */
  readonly package: `@nest-baton/${string}`;
  /** The package's version; a test compares it with package.json. */
  readonly version: string;
  readonly instruments: Readonly<Record<string, MetricRow>>;
}

/** The name that an instrument has outside. Pure. */
export function metricName(table: MetricTable, instrument: string): string {
  const module = table.package.slice(table.package.indexOf('/') + 1).replaceAll('-', '_');
  return `baton.${module}.${instrument}`;
}

/** Bounds for what a server answers: half a millisecond is a local query, 30 s is beyond every timeout of ours. */
export const QUICK_SECONDS: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
];

/** Bounds for work that users do and for waiting: 10 ms to 4 h. */
export const LONG_SECONDS: readonly number[] = [0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3_600, 14_400];

/** Bounds for bodies and batches: 256 B to 64 MiB, each four times the one before. */
export const SIZES_IN_BYTES: readonly number[] = Array.from({ length: 10 }, (_, i) => 256 * 4 ** i);

/** Bounds for how many there are of something in one go: 1 to 10 000. */
export const COUNTS: readonly number[] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];
