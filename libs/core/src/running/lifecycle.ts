/**
 * The one lifecycle of everything that runs.
 *
 * - `start()` is idempotent, and a no-op after `stop()`.
 * - `notify()` is a hint that there may be work; it never throws and is never lost while a pass runs.
 * - `runOnce()` resolves after one full pass that began after the call; it throws what the pass throws. After `stop()` it runs nothing.
 * - `stop()` is safe before `start()` and twice; it returns only when nothing runs any more.
 */
export interface Runnable {
  start(): void | Promise<void>;
  notify(): void;
  runOnce(): Promise<void>;
  stop(): Promise<void>;
}
