import { metrics } from '@opentelemetry/api';
import { AggregationTemporality, type Histogram, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';

class Reader extends MetricReader {
  constructor(temporality: AggregationTemporality) {
    super({ aggregationTemporalitySelector: () => temporality });
  }
  protected override onForceFlush = async (): Promise<void> => undefined;
  protected override onShutdown = async (): Promise<void> => undefined;
}

/** By attributes, such as `default` or `default stored`: the instance first. */
export type Points = Record<string, number>;

/** OpenTelemetry's SDK, registered as an application would, and what it collects. */
export class CollectedMetrics {
  private readonly sums = new Reader(AggregationTemporality.CUMULATIVE);
  private readonly changes = new Reader(AggregationTemporality.DELTA);
  private readonly provider = new MeterProvider({ readers: [this.sums, this.changes] });

  /** Must come before what is to be seen has started. */
  static register(): CollectedMetrics {
    const collected = new CollectedMetrics();
    metrics.setGlobalMeterProvider(collected.provider);
    return collected;
  }

  /** Since the start: a counter's value, or how many values a histogram has recorded. Of one instance: only the attribute's value is left. */
  async total(name: string, instance: string): Promise<Points>;
  async total(name: string): Promise<Points>;
  async total(name: string, instance?: string): Promise<Points> {
    const points = (await pointsOf(this.sums)).get(name) ?? {};
    if (instance === undefined) return points;
    const own = Object.entries(points).filter(([key]) => key.split(' ')[0] === instance);
    return Object.fromEntries(own.map(([key, value]) => [key.slice(instance.length).trim(), value]));
  }

  /** Of all that a histogram of one instance has recorded since the start. */
  async sum(name: string, instance: string): Promise<number> {
    return (await pointsOf(this.sums, ({ sum }) => sum ?? NaN)).get(name)?.[instance] ?? 0;
  }

  /** Gauges, as they were read for this very collection; one that nobody shows any more is not there. */
  async latest(): Promise<Map<string, Points>> {
    // What the other reader's collections have observed since is told too, by the next one.
    await pointsOf(this.changes);
    return pointsOf(this.changes);
  }

  /** What happened since the last look, of all instruments and instances: `name instance [value]`. */
  async look(): Promise<Points> {
    const points = await pointsOf(this.changes);
    return Object.fromEntries(
      [...points].flatMap(([name, own]) => Object.entries(own).map(([key, value]) => [`${name} ${key}`, value])),
    );
  }

  async unregister(): Promise<void> {
    metrics.disable();
    await this.provider.shutdown();
  }
}

async function pointsOf(
  reader: Reader,
  figureOf: (histogram: Histogram) => number = ({ count }) => count,
): Promise<Map<string, Points>> {
  const { resourceMetrics, errors } = await reader.collect();
  if (errors.length > 0) throw new AggregateError(errors);
  const points = new Map<string, Points>();
  for (const { metrics: collected } of resourceMetrics.scopeMetrics)
    for (const { descriptor, dataPoints } of collected)
      points.set(
        descriptor.name,
        Object.fromEntries(
          dataPoints.map(({ attributes: { 'baton.instance': instance, ...own }, value }) => [
            [instance, ...Object.values(own)].join(' '),
            typeof value === 'number' ? value : figureOf(value as Histogram),
          ]),
        ),
      );
  return points;
}
