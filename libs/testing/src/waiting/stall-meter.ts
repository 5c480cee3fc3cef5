import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';

const RESOLUTION_MS = 10;

/**
 * How long this process could not run at the worst: because something in it did not yield, or because the machine gave its cores to others.
 *
 * For assertions about delays: what they promise, plus what no program could have done anything about. A stall in which the tested code itself
 * never yields is hidden by it, so it does not belong in tests about that.
 */
export class StallMeter {
  private constructor(private readonly histogram: IntervalHistogram) {}

  static start(): StallMeter {
    const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
    histogram.enable();
    return new StallMeter(histogram);
  }

  /** Milliseconds; 0 while nothing was measured. */
  get worstMs(): number {
    return this.histogram.count === 0 ? 0 : Math.max(0, this.histogram.max / 1e6 - RESOLUTION_MS);
  }

  /** Ends the measurement and returns `worstMs`. */
  stop(): number {
    this.histogram.disable();
    return this.worstMs;
  }
}
