import { describeError, type Random } from '@nest-baton/core';
import { SeededRunFailedError } from '../testing.errors.js';

/**
 * Numbers in [0, 1) that follow from the seed alone: Bob Jenkins' small fast generator with three rotations of 32 bits and a counter ("sfc32"),
 * warmed up by twelve rounds. 2^32 seeds, none of them weak; the period is at least 2^32 for every seed. Not for secrets.
 *
 * @throws RangeError when the seed is not a whole number from 0 to 2^32 - 1.
 */
export function seededRandom(seed: number): Random {
  if (!Number.isInteger(seed) || seed < 0 || seed > 0xffff_ffff)
    throw new RangeError(`A seed is a whole number from 0 to 4294967295, not ${seed}.`);
  let [a, b, c, counter] = [seed | 0, (seed ^ 0x9e37_79b9) | 0, 0x243f_6a88, 1];
  const next = (): number => {
    const sum = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 12; i++) next();
  return next;
}

/** A whole number from `min` to `max`, both included. */
export function randomBetween(random: Random, min: number, max: number): number {
  return min + Math.floor(random() * (max - min + 1));
}

/** One of them. @throws RangeError when there are none. */
export function randomPick<T>(random: Random, items: readonly T[]): T {
  if (items.length === 0) throw new RangeError('There is nothing to pick from.');
  return items[randomBetween(random, 0, items.length - 1)] as T;
}

/** All of them in another order; the given list stays as it is. */
export function randomShuffle<T>(random: Random, items: readonly T[]): T[] {
  const shuffled = [...items];
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = randomBetween(random, 0, i);
    [shuffled[i], shuffled[j]] = [shuffled[j] as T, shuffled[i] as T];
  }
  return shuffled;
}

/**
 * Runs something that takes its choices from a seed, so that a failure says how to repeat it.
 *
 * @throws SeededRunFailedError naming the seed, with the failure as its cause.
 */
export async function withSeed<T>(seed: number, run: (random: Random) => T | Promise<T>): Promise<T> {
  const random = seededRandom(seed);
  try {
    return await run(random);
  } catch (error) {
    throw new SeededRunFailedError(`Failed with the seed ${seed}: ${describeError(error)}`, { cause: error });
  }
}
