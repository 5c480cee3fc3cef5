import { WriterQueueFullError } from '../pg-stream.errors.js';

const MAX_CALLS = 1_000;
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * Keeps the calls of one writer in the order in which they were made, although they do not wait for each other.
 *
 * - A call begins at once, unless one that must run alone is before it.
 * - A call that was made behind one that failed fails with the same error, so nothing overtakes a failed call that its caller has not heard of
 *   yet. Whoever carries the calls out sees to those that have begun, and says so by `refused()`.
 * - Bounded: at most 1 000 calls or 16 MiB are not settled, and always at least one.
 */
export class CallQueue {
  private last: Promise<unknown> = Promise.resolve();
  /** The last call that runs alone, until it has settled. */
  private alone: Promise<unknown> | undefined;
  private waiting = 0;
  private waitingBytes = 0;
  private failures = 0;
  private failure: Error | undefined;
  /** Of calls that are about to reject. */
  private refusal: Error | undefined;

  /** @throws WriterQueueFullError */
  add<T>(bytes: number, call: () => Promise<T>): Promise<T> {
    if (this.refusal !== undefined) return Promise.reject(this.refusal);
    if (this.waiting > 0 && (this.waiting >= MAX_CALLS || this.waitingBytes + bytes > MAX_BYTES))
      return Promise.reject(
        new WriterQueueFullError(
          `${this.waiting} calls with ${this.waitingBytes} bytes wait for this writer already: await them before the next.`,
        ),
      );
    const { failures, alone } = this;
    return this.track(bytes, alone === undefined ? call() : alone.then(() => this.unlessFailed(failures, call)));
  }

  /** Begins when every call before has settled; no other begins before this one has. */
  addAlone<T>(call: () => Promise<T>): Promise<T> {
    if (this.refusal !== undefined) return Promise.reject(this.refusal);
    const { failures } = this;
    const result = this.track(
      0,
      this.last.then(() => this.unlessFailed(failures, call)),
    );
    const alone = this.last.then(() => {
      if (this.alone === alone) this.alone = undefined;
    });
    this.alone = alone;
    return result;
  }

  /** The calls that have begun are about to reject: what is added before they have settled rejects with them. */
  refused(error: unknown): void {
    this.refusal = error as Error;
  }

  private track<T>(bytes: number, result: Promise<T>): Promise<T> {
    this.waiting++;
    this.waitingBytes += bytes;
    const tracked = result.catch((error: unknown) => {
      this.failures++;
      this.failure = error as Error;
      throw error;
    });
    const leave = (): void => {
      this.waiting--;
      this.waitingBytes -= bytes;
      if (this.waiting === 0) this.refusal = undefined;
    };
    // Calls settle in their order, so behind the last one all have.
    this.last = tracked.then(leave, leave);
    return tracked;
  }

  private async unlessFailed<T>(failures: number, call: () => Promise<T>): Promise<T> {
    if (failures !== this.failures) throw this.failure as Error;
    return call();
  }
}
