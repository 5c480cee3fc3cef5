import { metrics } from '@opentelemetry/api';
import { AggregationTemporality, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';

/** Delta: each look shows what happened since the one before. With cumulative points the SDK repeats the last reading of a gauge for ever. */
class LookReader extends MetricReader {
  constructor() {
    super({ aggregationTemporalitySelector: () => AggregationTemporality.DELTA });
  }
  protected override onForceFlush = async (): Promise<void> => undefined;
  protected override onShutdown = async (): Promise<void> => undefined;
}

/** A real OpenTelemetry SDK. Register it before what is to be measured is made. */
export class MetricPoints {
  private readonly reader = new LookReader();
  private readonly provider = new MeterProvider({ readers: [this.reader] });

  static register(): MetricPoints {
    const points = new MetricPoints();
    metrics.setGlobalMeterProvider(points.provider);
    return points;
  }

  /** Since the last look: `name instance [value]` to the number; of a histogram, how many were recorded. */
  async look(): Promise<Readonly<Record<string, number>>> {
    const { resourceMetrics, errors } = await this.reader.collect();
    if (errors.length > 0) throw new AggregateError(errors);
    const points: Record<string, number> = {};
    for (const { metrics: collected } of resourceMetrics.scopeMetrics)
      for (const { descriptor, dataPoints } of collected)
        for (const { attributes, value } of dataPoints) {
          const { 'baton.instance': instance, ...own } = attributes;
          const key = [descriptor.name, instance, ...Object.values(own)].join(' ');
          points[key] = typeof value === 'number' ? value : (value as { readonly count: number }).count;
        }
    return points;
  }

  async end(): Promise<void> {
    metrics.disable();
    await this.provider.shutdown();
  }
}
