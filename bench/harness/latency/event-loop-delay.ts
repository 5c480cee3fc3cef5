import type { Sample } from '../measuring/pairs.js';
import { LatencyHistogram } from './latency-histogram.js';

const INTERVAL_MS = 10;

/**
 * How late the event loop of this process gets round to things. A blockage counts for each of the moments that it covered, as it would for
 * callers who came then.
 */
export class EventLoopDelay {
  private readonly histogram = new LatencyHistogram();
  private dueAt = performance.now() + INTERVAL_MS;
  private readonly timer = setInterval(() => this.tick(), INTERVAL_MS);

  /** `p50`, `p99` and `max` in milliseconds. */
  stop(): Sample {
    clearInterval(this.timer);
    return this.histogram.toSample();
  }

  private tick(): void {
    const now = performance.now();
    this.histogram.recordClosed(Math.max(0, now - this.dueAt), INTERVAL_MS);
    this.dueAt = now + INTERVAL_MS;
  }
}
