import { randomToken, systemClock, systemRandom } from './clock.js';

describe('randomToken', () => {
  it.each([0, 1, 8, 64])('has %d lower-case letters and digits', (length) => {
    expect(randomToken(length)).toMatch(new RegExp(`^[a-z0-9]{${length}}$`));
  });

  it('gives 20 000 different tokens of 16, and uses the whole alphabet evenly', () => {
    const tokens = Array.from({ length: 20_000 }, () => randomToken(16));
    expect(new Set(tokens).size).toBe(tokens.length);
    const counts = new Map<string, number>();
    for (const letter of tokens.join('')) counts.set(letter, (counts.get(letter) ?? 0) + 1);
    expect(counts.size).toBe(36);
    // 320 000 letters over 36: 8 889 each with a deviation of 93; eight deviations are not chance.
    for (const count of counts.values()) expect(Math.abs(count - 320_000 / 36)).toBeLessThan(750);
  });
});

describe('the system clock and chance', () => {
  it('tells the time of day, and a time that never goes back', () => {
    expect(systemClock.now()).toBeGreaterThan(Date.parse('2025-01-01'));
    const readings = Array.from({ length: 1_000 }, () => systemClock.monotonic());
    expect(readings.toSorted((a, b) => a - b)).toEqual(readings);
  });

  it('gives numbers in [0, 1)', () => {
    for (let i = 0; i < 1_000; i++) {
      const number = systemRandom();
      expect(number >= 0 && number < 1).toBe(true);
    }
  });
});
