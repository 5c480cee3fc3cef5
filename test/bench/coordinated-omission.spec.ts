import { dueTimes, withOmitted } from '../../bench/harness/latency/coordinated-omission.js';

describe('latency under a fixed rate', () => {
  it('makes operations due at the rate, whatever became of those before', () => {
    expect(dueTimes(4, 1000)).toEqual([0, 250, 500, 750]);
  });

  it('has at least one operation', () => {
    expect(dueTimes(0.1, 1000)).toEqual([0]);
  });

  it('adds what a closed loop left out while one operation was slow', () => {
    expect(withOmitted(45, 10)).toEqual([45, 35, 25, 15]);
  });

  it('adds nothing for an operation within its interval', () => {
    expect(withOmitted(10, 10)).toEqual([10]);
    expect(withOmitted(3, 10)).toEqual([3]);
  });

  it('shows in the 99th percentile the pause that one sample in a thousand would hide', () => {
    const measured = [...Array<number>(999).fill(1), 1000];
    const corrected = measured.flatMap((latencyMs) => withOmitted(latencyMs, 1)).sort((a, b) => a - b);
    expect(measured.sort((a, b) => a - b)[989]).toBe(1);
    expect(corrected[Math.ceil(corrected.length * 0.99) - 1]).toBeGreaterThan(900);
  });

  it('refuses a rate, a duration or an interval of nothing', () => {
    expect(() => dueTimes(0, 1000)).toThrow(RangeError);
    expect(() => dueTimes(10, 0)).toThrow(RangeError);
    expect(() => withOmitted(10, 0)).toThrow(RangeError);
  });
});
