import { setTimeout as sleep } from 'node:timers/promises';
import { dueTimes } from './coordinated-omission.js';

export interface OpenLoopOptions {
  readonly ratePerSecond: number;
  readonly durationMs: number;
  /** Resolves when the operation is through. A rejection ends the loop, which rejects with it. */
  readonly operation: (index: number) => Promise<unknown>;
  /** Told each latency in milliseconds, counted from when the operation was due. */
  readonly onLatency: (latencyMs: number) => void;
}

/**
 * Begins operations at a fixed rate whether or not earlier ones have ended, as callers out there do. What is due while the loop is held up is
 * begun at once, and its wait counts.
 *
 * @returns How many operations were begun, after all of them have ended.
 */
export async function openLoop({ ratePerSecond, durationMs, operation, onLatency }: OpenLoopOptions): Promise<number> {
  const due = dueTimes(ratePerSecond, durationMs);
  const startedAt = performance.now();
  const running: Promise<unknown>[] = [];
  let failure: { readonly error: unknown } | undefined;
  for (let index = 0; index < due.length && failure === undefined; index++) {
    const dueAt = startedAt + (due[index] ?? 0);
    const waitMs = dueAt - performance.now();
    if (waitMs > 0) await sleep(waitMs);
    running.push(
      operation(index).then(
        () => onLatency(performance.now() - dueAt),
        (error: unknown) => (failure ??= { error }),
      ),
    );
  }
  await Promise.all(running);
  if (failure !== undefined) throw failure.error;
  return running.length;
}
