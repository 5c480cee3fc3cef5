import { expectCount, type RemoteSubject, type Sample, type Subject } from '../../harness/index.js';
import type { QueueAction } from '../programs/queues.js';
import type { SinkProcess } from '../sink-process.js';
import { PER_ENDPOINT } from '../subjects/queue-subject.js';

/** One sample: fill while nobody works, let work, count at the sink and at the source. */
export class Backlog implements Subject {
  readonly name: string;

  constructor(
    private readonly remote: RemoteSubject,
    private readonly sink: SinkProcess,
    private readonly count: number,
    private readonly patienceMs: number,
    /** What is left over after `patienceMs` is right, but nothing may be lost. */
    private readonly mayLeave: boolean,
  ) {
    this.name = remote.name;
  }

  /** From the first request to when the last delivery is recorded. */
  async run(): Promise<Sample> {
    const { count, patienceMs, sink } = this;
    await sink.run({ action: 'reset' });
    const filled = await this.ask({ action: 'fill', count });
    expectCount(`webhooks stored by ${this.name}`, filled.open ?? NaN, count);
    await this.ask({ action: 'work' });
    // Counting at the source reads a table that some keep and others empty, on the cores that are measured: only once all has arrived.
    const startedMs = performance.now();
    await sink.run({ action: 'wait', path: '/', expected: count, patienceMs });
    const leftMs = Math.max(0, patienceMs - (performance.now() - startedMs));
    const { open = NaN, failed = NaN, endMs = NaN } = await this.ask({ action: 'drain', patienceMs: leftMs });
    const done = count - open;
    const {
      requests = NaN,
      unique = NaN,
      firstMs = NaN,
    } = await sink.run({
      action: 'wait',
      path: '/',
      expected: done,
      patienceMs: 1_000,
    });
    await this.ask({ action: 'clear' });
    expectCount(`webhooks of ${this.name} that failed`, failed, 0);
    expectCount(`requests of ${this.name} that were repeated`, requests - unique, 0);
    // Whoever is stopped in the middle of its work may have sent what it could not record.
    const inFlight = this.mayLeave ? Math.min(2 * PER_ENDPOINT, Math.max(0, unique - done)) : 0;
    expectCount(`different webhooks of ${this.name} at the sink`, unique - inFlight, done);
    if (!this.mayLeave) expectCount(`webhooks that ${this.name} has left`, open, 0);
    return { perSecond: (done / Math.max(1, endMs - firstMs)) * 1_000, done };
  }

  private ask(action: QueueAction): Promise<Sample> {
    return this.remote.run({ ...action });
  }
}
