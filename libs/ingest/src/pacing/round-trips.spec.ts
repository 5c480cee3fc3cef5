import {
  compared,
  learned,
  meanMs,
  NOTHING_USUAL,
  STALE_AFTER_MS,
  usualMs,
  withoutStale,
  withRoundTrip,
} from './round-trips.js';

const KIB = 1_024;
const MIB = 1_024 * KIB;

describe('usual round trips', () => {
  it('follow new windows by two fifths, with their variance', () => {
    const first = learned(NOTHING_USUAL, withRoundTrip([], MIB, 100), 1);
    expect(usualMs(first, MIB)).toBe(100);
    const second = learned(first, withRoundTrip([], MIB, 200), 2);
    expect(usualMs(second, MIB)).toBeCloseTo(140);
    const { spreadMs = 0 } = compared(second, withRoundTrip([], MIB, 140)) ?? {};
    expect(spreadMs).toBeCloseTo(Math.sqrt(0.6 * 100 * 40));
  });

  it('are kept apart by size, but not below what fits into the first packets', () => {
    const usual = learned(NOTHING_USUAL, withRoundTrip([], MIB, 100), 1);
    expect([usualMs(usual, 600 * KIB), usualMs(usual, MIB)]).toEqual([100, 100]);
    expect([usualMs(usual, 500 * KIB), usualMs(usual, MIB + 1)]).toEqual([undefined, undefined]);
    const small = learned(NOTHING_USUAL, withRoundTrip([], 200, 7), 1);
    expect([usualMs(small, 0), usualMs(small, 16 * KIB), usualMs(small, 17 * KIB)]).toEqual([7, 7, undefined]);
    const large = learned(NOTHING_USUAL, withRoundTrip([], 9 * MIB, 7), 1);
    expect(usualMs(large, 1_000 * MIB)).toBe(7);
  });

  it('are compared request by request with their like; sizes that are new say nothing', () => {
    let usual = learned(NOTHING_USUAL, withRoundTrip([], 100, 10), 1);
    usual = learned(usual, withRoundTrip([], MIB, 300), 1);
    let seen = withRoundTrip(withRoundTrip([], 100, 12), MIB, 290);
    seen = withRoundTrip(withRoundTrip(seen, MIB, 330), 4 * MIB, 9_000);
    expect(compared(usual, seen)).toEqual({ excessMs: 22, expectedMs: 610, spreadMs: 0, requests: 3 });
    expect(meanMs(seen)).toBe(9_632 / 4);
    expect(compared(usual, withRoundTrip([], 4 * MIB, 9_000))).toBeUndefined();
    expect(meanMs([])).toBe(0);
  });

  it('are forgotten by size when nothing came that confirms them', () => {
    const both = learned(learned(NOTHING_USUAL, withRoundTrip([], MIB, 100), 0), withRoundTrip([], 10, 5), 10);
    expect(withoutStale(both, STALE_AFTER_MS)).toBe(both);
    const later = withoutStale(both, STALE_AFTER_MS + 1);
    expect([usualMs(later, MIB), usualMs(later, 10)]).toEqual([undefined, 5]);
  });
});
