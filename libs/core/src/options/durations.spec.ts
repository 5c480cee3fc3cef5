import fc from 'fast-check';
import { parseDuration } from './durations.js';

describe('parseDuration', () => {
  it.each<[unknown, number | undefined]>([
    [0, 0],
    [250, 250],
    [0.5, 0.5],
    ['250ms', 250],
    ['30s', 30_000],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['7d', 604_800_000],
    ['1.5s', 1_500],
    [' 30s ', 30_000],
    ['0s', 0],
    [-1, undefined],
    [NaN, undefined],
    [Infinity, undefined],
    ['', undefined],
    ['30', undefined],
    ['s', undefined],
    ['-5s', undefined],
    ['.5s', undefined],
    ['5.s', undefined],
    ['1e3s', undefined],
    ['30 s', undefined],
    ['30S', undefined],
    ['30sec', undefined],
    ['1m30s', undefined],
    ['٣s', undefined],
    [`1${'0'.repeat(400)}s`, undefined],
    [`1${'0'.repeat(307)}d`, undefined],
    [null, undefined],
    [undefined, undefined],
    [true, undefined],
    [{}, undefined],
    [['30s'], undefined],
    [30n, undefined],
  ])('%p is %p ms', (value, expected) => {
    expect(parseDuration(value)).toBe(expected);
  });

  it('gives a finite number that is not negative, or undefined, for anything', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        const ms = parseDuration(value);
        return ms === undefined || (Number.isFinite(ms) && ms >= 0);
      }),
    );
  });
});
