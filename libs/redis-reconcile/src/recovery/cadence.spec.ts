import { cadenceOf } from './cadence.js';

const NONE = { intervalMs: undefined, minIdleMs: undefined };

describe('the cadence', () => {
  it.each([
    [10_000, true, { intervalMs: 60_000, minIdleMs: 30_000 }],
    [60_000, true, { intervalMs: 60_000, minIdleMs: 60_000 }],
    [4000, false, { intervalMs: 5000, minIdleMs: 4000 }],
    [30_000, false, { intervalMs: 15_000, minIdleMs: 30_000 }],
  ])('for a lease of %d ms, events covered: %s', (leaseMs, isCovered, cadence) => {
    expect(cadenceOf({ leaseMs, recovery: NONE }, isCovered)).toEqual(cadence);
  });

  it('is what was asked for', () => {
    const recovery = { intervalMs: 1, minIdleMs: 2 };
    expect(cadenceOf({ leaseMs: 1000, recovery }, true)).toEqual({ intervalMs: 1, minIdleMs: 2 });
  });
});
