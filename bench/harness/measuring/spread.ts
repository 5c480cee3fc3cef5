/** What several runs came to: the median decides, the extremes say how far to trust it. */
export interface Spread {
  readonly measured: number;
  readonly min: number;
  readonly max: number;
}

/** @throws RangeError without a value, or with one that is no number: nothing was measured then. */
export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0 || values.some((value) => !Number.isFinite(value)))
    throw new RangeError(`A spread needs finite values, and got [${values.join(', ')}].`);
  const sorted = [...values].sort((a, b) => a - b);
  return { measured: medianOfSorted(sorted), min: sorted[0] ?? NaN, max: sorted.at(-1) ?? NaN };
}

/** A value that was measured once. */
export function single(value: number): Spread {
  return spreadOf([value]);
}

export function median(values: readonly number[]): number {
  return spreadOf(values).measured;
}

/**
 * Pair by pair, so that load which slows both sides of a pair cancels out; never best against best.
 *
 * @throws RangeError when the sides differ in length, or a divisor is 0.
 */
export function ratioOf(numerators: readonly number[], denominators: readonly number[]): Spread {
  if (numerators.length !== denominators.length)
    throw new RangeError(`Pairs need as many values on both sides: ${numerators.length}, ${denominators.length}.`);
  return spreadOf(numerators.map((value, pair) => value / (denominators[pair] ?? NaN)));
}

function medianOfSorted(sorted: readonly number[]): number {
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}
