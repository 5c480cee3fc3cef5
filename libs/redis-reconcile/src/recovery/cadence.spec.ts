import fc from 'fast-check';
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

describe('the cadence, whatever the lease', () => {
  const lease = fc.integer({ min: 1_000, max: 86_400_000 });

  it('leaves what is leased alone for a lease, and never looks more often than every 5 s unless it is told to', () => {
    fc.assert(
      fc.property(lease, fc.boolean(), (leaseMs, isCovered) => {
        const { intervalMs, minIdleMs } = cadenceOf({ leaseMs, recovery: NONE }, isCovered);
        expect(minIdleMs).toBeGreaterThanOrEqual(leaseMs);
        expect(intervalMs).toBeGreaterThanOrEqual(5_000);
        // A scan alone finds an orphan within minIdle and one interval, which is at most a lease and a half, or 5 s more than a lease.
        if (!isCovered) expect(minIdleMs + intervalMs).toBeLessThanOrEqual(Math.max(1.5 * leaseMs, leaseMs + 5_000));
      }),
    );
  });

  it('takes each of the two as it was asked for, and decides the other alone', () => {
    const asked = fc.option(fc.nat(), { nil: undefined });
    fc.assert(
      fc.property(lease, fc.boolean(), asked, asked, (leaseMs, isCovered, intervalMs, minIdleMs) => {
        const own = cadenceOf({ leaseMs, recovery: NONE }, isCovered);
        expect(cadenceOf({ leaseMs, recovery: { intervalMs, minIdleMs } }, isCovered)).toEqual({
          intervalMs: intervalMs ?? own.intervalMs,
          minIdleMs: minIdleMs ?? own.minIdleMs,
        });
      }),
    );
  });
});
