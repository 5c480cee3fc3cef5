import { retryAfterMs } from './retry-after.js';

const NOW = Date.parse('2030-01-01T00:00:00Z');

describe('retryAfterMs', () => {
  it.each([
    ['2', 2_000],
    ['  3 ', 3_000],
    ['3600', 60_000],
    ['Tue, 01 Jan 2030 00:00:05 GMT', 5_000],
    ['Tue, 01 Jan 2030 09:00:00 GMT', 60_000],
    ['Mon, 31 Dec 2029 23:59:59 GMT', undefined],
    ['', undefined],
    ['soon', undefined],
    ['0', undefined],
    ['-5', undefined],
    ['1.5', undefined],
    ['2031', 60_000],
    [undefined, undefined],
  ])('reads %p as %p', (header, ms) => {
    expect(retryAfterMs(header, NOW)).toBe(ms);
  });
});
