import { BackendUnavailableError } from '../testing.errors.js';

/**
 * One way to a backend.
 *
 * - `open()` gives the backend, or the reason why this way does not exist here, and the next one is tried.
 * - A way that exists and fails throws, and nothing else is tried: a run on another backend than expected is worse than none.
 */
export interface BackendWay<T> {
  /** `TEST_REDIS_URL`, `a container engine`, ... */
  readonly name: string;
  /** What the reader of the error can do to open this way. */
  readonly remedy: string;
  open(): Promise<{ readonly backend: T } | { readonly reason: string }>;
}

/** @throws BackendUnavailableError naming each way, why it was closed and what opens it. */
export async function resolveBackend<T>(kind: string, ways: readonly BackendWay<T>[]): Promise<T> {
  const closed: string[] = [];
  for (const way of ways) {
    const outcome = await way.open();
    if ('backend' in outcome) return outcome.backend;
    closed.push(`  - ${way.name}: ${outcome.reason}. ${way.remedy}`);
  }
  throw new BackendUnavailableError(`No ${kind} for the tests. Any one of these will do:\n${closed.join('\n')}`);
}
