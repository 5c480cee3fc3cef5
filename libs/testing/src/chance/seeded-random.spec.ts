import fc from 'fast-check';
import { randomBetween, randomPick, randomShuffle, seededRandom, withSeed } from './seeded-random.js';

const seeds = fc.integer({ min: 0, max: 0xffff_ffff });
const numbers = (seed: number, count: number) => {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => random());
};

describe('seededRandom', () => {
  it('gives the same numbers in [0, 1) for the same seed, on every machine', () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        expect(numbers(seed, 20)).toEqual(numbers(seed, 20));
        expect(numbers(seed, 20).every((n) => n >= 0 && n < 1)).toBe(true);
      }),
    );
    expect(numbers(1, 3).map((n) => n * 2 ** 32)).toMatchInlineSnapshot(`
     [
       287317652,
       3844763798,
       2725124882,
     ]
    `);
  });

  it('is even: each of ten buckets gets its tenth, also for neighbouring seeds', () => {
    for (const draws of [numbers(0, 10_000), Array.from({ length: 10_000 }, (_, seed) => numbers(seed, 1)[0]!)]) {
      const buckets = Array<number>(10).fill(0);
      for (const n of draws) buckets[Math.floor(n * 10)]!++;
      for (const count of buckets) expect(Math.abs(count - 1_000)).toBeLessThan(150);
    }
  });

  it.each([-1, 0.5, NaN, 2 ** 32])('refuses %d as a seed', (seed) => {
    expect(() => seededRandom(seed)).toThrow('whole number from 0 to 4294967295');
  });

  it('picks, shuffles and stays between', () => {
    fc.assert(
      fc.property(seeds, fc.array(fc.nat(), { minLength: 1 }), fc.nat(9), (seed, items, span) => {
        const random = seededRandom(seed);
        expect(items).toContain(randomPick(random, items));
        expect(randomShuffle(random, items).toSorted()).toEqual(items.toSorted());
        const n = randomBetween(random, 5, 5 + span);
        expect(Number.isInteger(n) && n >= 5 && n <= 5 + span).toBe(true);
      }),
    );
    expect(() => randomPick(seededRandom(0), [])).toThrow(RangeError);
  });

  it('reaches both ends of a range', () => {
    const random = seededRandom(7);
    expect(new Set(Array.from({ length: 100 }, () => randomBetween(random, 1, 3)))).toEqual(new Set([1, 2, 3]));
  });
});

describe('withSeed', () => {
  it('gives what was run, and names the seed of what failed', async () => {
    expect(await withSeed(42, (random) => random())).toBe(numbers(42, 1)[0]);
    const cause = new Error('the third fault lost a document');
    await expect(withSeed(42, () => Promise.reject(cause))).rejects.toMatchObject({
      code: 'SEEDED_RUN_FAILED',
      message: expect.stringMatching(/^Failed with the seed 42: .*the third fault lost a document/),
      cause,
    });
  });
});
