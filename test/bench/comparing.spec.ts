import { expectCount } from '../../bench/harness/measuring/check.js';
import { interleave, type Subject } from '../../bench/harness/measuring/pairs.js';
import { ratioOf, spreadOf } from '../../bench/harness/measuring/spread.js';

describe('comparing two sides of a benchmark', () => {
  it('reports the median with the extremes, not the best', () => {
    expect(spreadOf([5, 1, 100])).toEqual({ measured: 5, min: 1, max: 100 });
    expect(spreadOf([4, 1, 2, 100])).toEqual({ measured: 3, min: 1, max: 100 });
  });

  it('divides pair by pair, so that a slow minute of the machine cancels out', () => {
    expect(ratioOf([200, 20, 210], [100, 10, 100])).toEqual({ measured: 2, min: 2, max: 2.1 });
  });

  it.each([
    ['no value', []],
    ['a value that is no number', [1, NaN]],
    ['an infinite value', [Infinity]],
  ])('refuses %s', (_, values) => {
    expect(() => spreadOf(values)).toThrow(RangeError);
  });

  it('refuses sides of different length, and a division by nothing', () => {
    expect(() => ratioOf([1, 2], [1])).toThrow(RangeError);
    expect(() => ratioOf([1], [0])).toThrow(RangeError);
  });

  it('runs every subject once a pair, every other pair backwards, and leaves the warm-up out', async () => {
    const order: string[] = [];
    const subject = (name: string, speeds: readonly number[]): Subject => {
      let runs = 0;
      return {
        name,
        run: () => {
          order.push(name);
          return Promise.resolve({ perSecond: speeds[runs++] ?? NaN });
        },
      };
    };
    const pairs = await interleave([subject('floor', [1, 10, 20, 30]), subject('ours', [999, 20, 60, 60])], {
      pairs: 3,
      warmUps: 1,
    });
    expect(order).toEqual(['floor', 'ours', 'floor', 'ours', 'ours', 'floor', 'floor', 'ours']);
    expect(pairs.values('ours', 'perSecond')).toEqual([20, 60, 60]);
    expect(pairs.ratio('perSecond', 'ours', 'floor')).toEqual({ measured: 2, min: 2, max: 3 });
  });

  it('names the subject and the figure that nobody reported', async () => {
    const pairs = await interleave([{ name: 'ours', run: () => Promise.resolve({ perSecond: 1 }) }], { pairs: 1 });
    expect(() => pairs.of('theirs', 'perSecond')).toThrow("No subject 'theirs' was measured: ours.");
    expect(() => pairs.of('ours', 'p99')).toThrow("'ours' did not report 'p99': perSecond.");
  });

  it('refuses the figures of a run that did not do its work', () => {
    expect(() => expectCount('documents that arrived', 99, 100)).toThrow('documents that arrived: 99 instead of 100.');
  });
});
