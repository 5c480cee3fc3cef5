import type { Random } from './clock.js';

export interface Backoff {
  /** Delay before the second attempt, in milliseconds. */
  readonly baseMs: number;
  /** What each further failure multiplies the delay by; at least 1. */
  readonly factor: number;
  /** No delay is longer, in milliseconds. */
  readonly capMs: number;
  /** `equal`: uniform in [d/2, d]. `full`: uniform in [0, d]. `none`: exactly d. */
  readonly jitter: 'equal' | 'full' | 'none';
}

/** Milliseconds to wait after `failures` failures in a row (from 1). Pure; safe for any number of failures. */
export function backoffDelay(failures: number, backoff: Backoff, random: Random): number {
  const growth = backoff.factor ** Math.min(Math.max(failures - 1, 0), 100);
  // 0 times a growth beyond all numbers is not a number.
  const delay = backoff.baseMs === 0 ? 0 : Math.min(backoff.baseMs * growth, backoff.capMs);
  switch (backoff.jitter) {
    case 'none':
      return delay;
    case 'equal':
      return delay / 2 + (delay / 2) * random();
    case 'full':
      return delay * random();
  }
}
