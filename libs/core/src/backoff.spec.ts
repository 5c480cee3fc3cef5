import fc from 'fast-check';
import { type Backoff, backoffDelay } from './backoff.js';

const doubling: Backoff = { baseMs: 250, factor: 2, capMs: 30_000, jitter: 'none' };

describe('backoffDelay', () => {
  it('starts at the base, multiplies by the factor and stops growing at the cap', () => {
    const delays = [1, 2, 3, 4, 5, 6, 7, 8, 9].map((failures) => backoffDelay(failures, doubling, () => 0.5));
    expect(delays).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  });

  it.each([
    ['equal', 0, 125],
    ['equal', 0.5, 187.5],
    ['full', 0, 0],
    ['full', 0.5, 125],
    ['none', 0, 250],
  ] as const)('with jitter %s and chance %d waits %d of 250 ms', (jitter, chance, expected) => {
    expect(backoffDelay(1, { ...doubling, jitter }, () => chance)).toBe(expected);
  });

  it('stays within its bounds for any number of failures, any base, factor, cap and chance', () => {
    const milliseconds = fc.oneof(fc.constant(0), fc.double({ min: 1e-3, max: 1e9, noNaN: true }));
    const backoffs = fc.record({
      baseMs: milliseconds,
      factor: fc.double({ min: 1, max: 1e12, noNaN: true }),
      capMs: milliseconds,
      jitter: fc.constantFrom('equal' as const, 'full' as const, 'none' as const),
    });
    const failures = fc.oneof(fc.integer(), fc.constant(Infinity), fc.constant(-Infinity));
    const chances = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(failures, backoffs, chances, (count, backoff, chance) => {
        const whole = backoffDelay(count, { ...backoff, jitter: 'none' }, () => chance);
        const delay = backoffDelay(count, backoff, () => chance);
        const least = backoff.jitter === 'none' ? whole : backoff.jitter === 'equal' ? whole / 2 : 0;
        return whole >= 0 && whole <= backoff.capMs && delay >= least && delay <= whole;
      }),
      { numRuns: 2_000, examples: [[200, { baseMs: 0, factor: 1e12, capMs: 1, jitter: 'full' }, 0.5]] },
    );
  });

  it('never waits less after one failure more', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 1e6 }), (failures, baseMs) => {
        const backoff = { ...doubling, baseMs, capMs: 1e7 };
        return backoffDelay(failures + 1, backoff, () => 0) >= backoffDelay(failures, backoff, () => 0);
      }),
    );
  });
});
