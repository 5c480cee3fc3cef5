import { PerformanceObserver } from 'node:perf_hooks';

/** Collections of garbage in this process, as Node reports them. */
export class Collections {
  private readonly seen: { readonly duration: number }[] = [];
  private readonly observer = new PerformanceObserver((list) => this.seen.push(...list.getEntries()));

  constructor() {
    this.observer.observe({ entryTypes: ['gc'] });
  }

  /** Since the last call. They are reported a turn of the event loop late. */
  async take(): Promise<{ readonly count: number; readonly totalMs: number }> {
    for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
    const taken = [...this.seen.splice(0), ...this.observer.takeRecords()];
    return { count: taken.length, totalMs: taken.reduce((sum, { duration }) => sum + duration, 0) };
  }
}
