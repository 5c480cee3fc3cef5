import { WriterQueueFullError } from '../pg-stream.errors.js';

const MAX_CALLS = 1_000;
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * Runs calls one after another, in the order in which they were made.
 *
 * - A call that was queued behind one that failed does not run and fails with the same error, so nothing overtakes a failed call
 *   that its caller has not heard of yet.
 * - Bounded: at most 1 000 calls or 16 MiB wait, and always at least one.
 */
export class CallQueue {
  private last: Promise<unknown> = Promise.resolve();
  private waiting = 0;
  private waitingBytes = 0;
  private failures = 0;
  private failure: unknown;

  /** @throws WriterQueueFullError */
  add<T>(bytes: number, call: () => Promise<T>): Promise<T> {
    if (this.waiting > 0 && (this.waiting >= MAX_CALLS || this.waitingBytes + bytes > MAX_BYTES))
      return Promise.reject(
        new WriterQueueFullError(
          `${this.waiting} calls with ${this.waitingBytes} bytes wait for this writer already: await them before the next.`,
        ),
      );
    this.waiting++;
    this.waitingBytes += bytes;
    const { failures } = this;
    const result = this.last.then(() => this.run(failures, call));
    this.last = result.then(
      () => this.leave(bytes),
      () => this.leave(bytes),
    );
    return result;
  }

  private async run<T>(failures: number, call: () => Promise<T>): Promise<T> {
    if (failures !== this.failures) throw this.failure;
    try {
      return await call();
    } catch (error) {
      this.failures++;
      this.failure = error;
      throw error;
    }
  }

  private leave(bytes: number): void {
    this.waiting--;
    this.waitingBytes -= bytes;
  }
}
