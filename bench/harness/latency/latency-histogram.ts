import { build, type Histogram } from 'hdr-histogram-js';
import type { Sample } from '../measuring/pairs.js';
import { withOmitted } from './coordinated-omission.js';

/** Microseconds a millisecond: the histogram counts whole numbers. */
const SCALE = 1000;
const HIGHEST_MS = 10 * 60_000;

/** Latencies of one run, to three digits from a microsecond to ten minutes. */
export class LatencyHistogram {
  private readonly histogram: Histogram = build({
    bitBucketSize: 32,
    lowestDiscernibleValue: 1,
    highestTrackableValue: HIGHEST_MS * SCALE,
    numberOfSignificantValueDigits: 3,
  });

  get count(): number {
    return this.histogram.totalCount;
  }

  /** Of an open loop: counted from when the operation was due. */
  record(latencyMs: number): void {
    this.histogram.recordValue(Math.min(HIGHEST_MS, Math.max(0, latencyMs)) * SCALE);
  }

  /** Of a closed loop that meant to begin one operation each `intervalMs`. */
  recordClosed(latencyMs: number, intervalMs: number): void {
    for (const latency of withOmitted(latencyMs, intervalMs)) this.record(latency);
  }

  percentile(percent: number): number {
    return this.histogram.getValueAtPercentile(percent) / SCALE;
  }

  /** `p50`, `p99` and `max` in milliseconds. */
  toSample(): Sample {
    return { p50: this.percentile(50), p99: this.percentile(99), max: this.histogram.maxValue / SCALE };
  }
}
