import { systemClock } from '@nest-baton/core';
import { WaitTimeoutError } from '../testing.errors.js';

export interface WaitOptions {
  /** Milliseconds until it gives up. Default 10000: far above what any condition needs, so that only a real failure meets it. */
  readonly timeoutMs?: number;
  /** What is waited for, as it should stand in the error: `the entry was delivered`. */
  readonly description: string;
}

type Truthy<T> = Exclude<T, undefined | null | false | 0 | ''>;

const INTERVAL_MS = 10;

/**
 * Asks until the condition gives something truthy, and returns that. A condition that throws ends the wait at once with its error: what cannot
 * come true any more should not cost the whole timeout.
 *
 * @throws WaitTimeoutError naming the description, also when the condition itself never settles.
 */
export async function waitFor<T>(condition: () => T | Promise<T>, options: WaitOptions): Promise<Truthy<Awaited<T>>> {
  const { timeoutMs = 10_000, description } = options;
  const deadline = systemClock.monotonic() + timeoutMs;
  const expired = Symbol('expired');
  let timer: NodeJS.Timeout | undefined;
  const expiry = new Promise<typeof expired>((resolve) => {
    timer = setTimeout(() => resolve(expired), timeoutMs);
  });
  try {
    for (;;) {
      const value = await Promise.race([condition(), expiry]);
      if (value !== expired && value) return value as Truthy<Awaited<T>>;
      if (value === expired || systemClock.monotonic() >= deadline) break;
      await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
    }
  } finally {
    clearTimeout(timer);
  }
  throw new WaitTimeoutError(`Waited ${timeoutMs} ms in vain until: ${description}.`);
}
