import { randomInt } from 'node:crypto';
import { readTestingEnvironment, type TestingEnvironment } from '../environment.js';

/** Enough for every kind of fault to come round several times on a slow machine. */
const DEFAULT_SECONDS = 60;
const MAX_SEED = 0xffff_ffff;

/** How long a soak test breaks things, and the seed from which all its choices follow. */
export interface SoakPlan {
  /** A whole number from 0 to 2^32 - 1. Print it: with it the same faults come in the same order. */
  readonly seed: number;
  readonly durationMs: number;
}

/**
 * `SLOW_SEED` (default: another one each time) and `SLOW_SECONDS` (default: 60).
 *
 * @throws RangeError when one of the two is not a number within its bounds; a typo must not make a soak test short.
 */
export function soakPlan(environment: TestingEnvironment = readTestingEnvironment()): SoakPlan {
  const { slowSeed, slowSeconds } = environment;
  return {
    seed: slowSeed === undefined ? randomInt(MAX_SEED) : bounded('SLOW_SEED', slowSeed, 0, MAX_SEED),
    durationMs:
      slowSeconds === undefined ? DEFAULT_SECONDS * 1000 : bounded('SLOW_SECONDS', slowSeconds, 1, 86_400) * 1000,
  };
}

function bounded(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new RangeError(`${name} must be a whole number from ${min} to ${max}, not "${text}".`);
}
