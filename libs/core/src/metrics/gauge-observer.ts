import {
  type Attributes,
  type BatchObservableResult,
  diag,
  type Meter,
  type ObservableGauge,
} from '@opentelemetry/api';
import { describeError } from '../describe-error.js';

export interface Gauge {
  readonly observable: ObservableGauge;
  readonly attributes: Attributes;
  readonly byValue: Readonly<Record<string, Attributes>>;
}

/** By instrument: a number, or one for each value of its attribute. */
export type Readings = Readonly<Record<string, number | Readonly<Record<string, number | undefined>> | undefined>>;

type Query = (signal: AbortSignal) => Promise<Readings>;

interface Running {
  readonly aborter: AbortController;
  /** Never rejects; undefined when there is nothing to show. */
  readonly readings: Promise<Readings | undefined>;
}

/** Well below the 10 s that Prometheus waits for a scrape: the points at hand still arrive. */
const QUERY_TIMEOUT_MS = 2_000;

const STOP_TIMEOUT_MS = 1_000;

/**
 * Answers collections with what the gauges of one instance show. Readers of the SDK that collect at the same moment share one query, and one
 * that hangs is never joined by a second: its points are missing until it has ended.
 */
export class GaugeObserver {
  private readonly observables: ObservableGauge[];
  private running: Running | undefined;
  private stopped: Promise<void> | undefined;

  constructor(
    private readonly meter: Meter,
    private readonly gauges: ReadonlyMap<string, Gauge>,
    private readonly now: () => Readings,
    private readonly query: Query | undefined,
  ) {
    this.observables = [...gauges.values()].map(({ observable }) => observable);
  }

  start(): void {
    this.meter.addBatchObservableCallback(this.observe, this.observables);
  }

  stop(): Promise<void> {
    return (this.stopped ??= this.letGo());
  }

  private async letGo(): Promise<void> {
    this.meter.removeBatchObservableCallback(this.observe, this.observables);
    const { running } = this;
    if (running === undefined) return;
    running.aborter.abort();
    await within(STOP_TIMEOUT_MS, running.readings);
  }

  private readonly observe = (result: BatchObservableResult): void | Promise<void> => {
    if (this.stopped !== undefined) return;
    try {
      this.show(result, this.now());
    } catch (error) {
      warn(error);
    }
    if (this.query !== undefined) return this.observeQuery(result, this.query);
  };

  private async observeQuery(result: BatchObservableResult, query: Query): Promise<void> {
    const { aborter, readings } = (this.running ??= this.begin(query));
    if (aborter.signal.aborted) return;
    const shown = await within(QUERY_TIMEOUT_MS, readings);
    if (shown === undefined) aborter.abort();
    else if (this.stopped === undefined) this.show(result, shown);
  }

  private begin(query: Query): Running {
    const aborter = new AbortController();
    const settled = (readings?: Readings): Readings | undefined => {
      this.running = undefined;
      return readings;
    };
    // In a later turn, so that a query that throws at once has something to be cleared from.
    const readings = Promise.resolve()
      .then(() => query(aborter.signal))
      .then(settled, (error: unknown) => {
        if (this.stopped === undefined) warn(error);
        return settled();
      });
    return { aborter, readings };
  }

  private show(result: BatchObservableResult, readings: Readings): void {
    for (const [name, reading] of Object.entries(readings)) {
      const gauge = this.gauges.get(name);
      if (gauge === undefined || reading === undefined) continue;
      if (typeof reading === 'number') result.observe(gauge.observable, reading, gauge.attributes);
      else
        for (const [value, number] of Object.entries(reading)) {
          const attributes = gauge.byValue[value];
          if (number !== undefined && attributes !== undefined) result.observe(gauge.observable, number, attributes);
        }
    }
  }
}

/** To OpenTelemetry's own log: whoever set up the SDK listens there, and a scrape every few seconds would fill the application's. */
function warn(error: unknown): void {
  diag.warn(`Baton: gauges could not be read: ${describeError(error)}`);
}

async function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, ms, undefined);
    timer.unref();
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
