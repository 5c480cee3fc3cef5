import { OptionsCheck } from '@nest-baton/core';
import type { ConcurrencyBounds } from '../pacing/adaptive-concurrency.js';
import { addProblems } from './inner-problems.js';

/** Between which bounds the number of requests adapts to what the server takes. */
export interface IngestConcurrencyOptions {
  /** Requests at a time before anything is known of the server; default 2, or the bound that is nearest to it. */
  readonly start?: number;
  /** Never fewer, however slow the server is; default 1. Too large keeps hammering a server that says 429. */
  readonly min?: number;
  /** Never more, however fast the server is; default 8. Too small leaves a fast server idle; too large costs connections and memory. */
  readonly max?: number;
}

export const DEFAULT_CONCURRENCY = Object.freeze({ start: 2, min: 1, max: 8 });

/** Each request holds a batch, and its compressed copy, in memory. */
const BOUNDS = { min: 1, max: 64 };

/** A number is fixed: it is all three bounds. */
export function resolveConcurrency(
  given: unknown,
  check: OptionsCheck<{ readonly concurrency?: unknown }>,
): ConcurrencyBounds {
  if (typeof given === 'number') {
    const fixed = check.integer('concurrency', DEFAULT_CONCURRENCY.start, BOUNDS);
    return Object.freeze({ start: fixed, min: fixed, max: fixed });
  }
  const inner = new OptionsCheck<IngestConcurrencyOptions>(
    'IngestModule.concurrency',
    given as IngestConcurrencyOptions | undefined,
    ['start', 'min', 'max'],
  );
  const min = inner.integer('min', DEFAULT_CONCURRENCY.min, BOUNDS);
  const max = inner.integer('max', Math.max(DEFAULT_CONCURRENCY.max, min), BOUNDS);
  const start = inner.integer('start', Math.min(Math.max(DEFAULT_CONCURRENCY.start, min), max), BOUNDS);
  if (inner.problems.length === 0) {
    inner.rule(min <= max, `min must be at most max (${max}), not ${min}`);
    inner.rule(min <= start && start <= max, `start must be between min (${min}) and max (${max}), not ${start}`);
  }
  const isNeither = given !== undefined && (typeof given !== 'object' || given === null || Array.isArray(given));
  if (isNeither) check.problem('concurrency must be a whole number, or an object of start, min and max');
  else addProblems('concurrency', inner.problems, check);
  return Object.freeze({ start, min, max });
}
