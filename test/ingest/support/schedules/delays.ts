import { type Schedule, NO_LIMIT } from './schedule.js';

/**
 * Nobody waits without a reason: a document goes out when its delay is over, or later when all requests were busy since.
 *
 * Checked where nothing else may hold it: no faults, one lane, a fixed number of requests, room for everything.
 */
export class Delays {
  private readonly isChecked: boolean;
  private freeSinceMs = 0;
  private lastFree = { fromMs: 0, toMs: 0 };

  constructor(private readonly schedule: Schedule) {
    const { options, server } = schedule;
    const isFast = schedule.authMs <= 0 && options.requestTimeout === 1_000 && server.details === 'named';
    const isCalm = isFast && server.faults.every((fault) => fault === null) && server.limitBytes === NO_LIMIT;
    const isPlain = schedule.actions.every(
      (action) => !('docs' in action) || action.docs.every(({ kind }) => kind === undefined),
    );
    const isRoomy = options.maxBufferBytes === NO_LIMIT && options.maxBufferDocs === 1_000;
    this.isChecked =
      isCalm && isPlain && isRoomy && options.commit === 'auto' && typeof options.concurrency === 'number';
  }

  /** So many requests are open after one began. */
  busy(open: number, nowMs: number): void {
    if (open === this.schedule.options.concurrency) this.lastFree = { fromMs: this.freeSinceMs, toMs: nowMs };
  }

  /** So many requests are open after one ended. */
  free(open: number, nowMs: number): void {
    if (open + 1 === this.schedule.options.concurrency) this.freeSinceMs = nowMs;
  }

  /** A request with the document begins. Call before `busy`. */
  check(
    doc: { readonly uid: number; readonly isTracked: boolean; readonly atMs: number },
    nowMs: number,
    violation: (what: string) => void,
  ): void {
    if (!this.isChecked) return;
    const { hints, maxDelay } = this.schedule.options;
    const dueMs = doc.atMs + (hints === 'on' && doc.isTracked ? 0 : Number(maxDelay));
    const wasFree = nowMs > Math.max(this.freeSinceMs, dueMs) + 1 && this.freeSinceMs >= this.lastFree.toMs;
    const hadBeenFree = this.lastFree.toMs > Math.max(this.lastFree.fromMs, dueMs) + 1;
    if (wasFree || hadBeenFree)
      violation(`document ${doc.uid} was due at ${dueMs} and goes out at ${nowMs}, although a request was free`);
  }
}
