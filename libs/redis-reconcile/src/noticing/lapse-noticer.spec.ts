import { jest } from '@jest/globals';
import type { Partition } from '../partitions/partition.js';
import type { Reconciler } from '../recovery/reconciler.js';
import { LapseNoticer } from './lapse-noticer.js';

const DAY_MS = 86_400_000;

describe('a lease that runs out later than a timer can wait', () => {
  beforeEach(() => void jest.useFakeTimers());
  afterEach(() => void jest.useRealTimers());

  it('is looked at when it is due, and costs nothing until then', () => {
    let looks = 0;
    const lapsed: string[] = [];
    const noticer = new LapseNoticer({
      partitions: [{} as Partition],
      reconciler: {
        lapsed: async (_partition: Partition, names: readonly string[]) => void lapsed.push(...names),
      } as unknown as Reconciler,
      random: () => 0,
      now: () => {
        looks++;
        return performance.now();
      },
      logger: { warn: () => undefined } as never,
    });
    noticer.notice(0, 'x', 30 * DAY_MS);
    const before = looks;
    jest.advanceTimersByTime(1000);
    expect(looks).toBe(before);
    jest.advanceTimersByTime(29 * DAY_MS);
    expect(lapsed).toEqual([]);
    expect(looks - before).toBeLessThan(5);
    jest.advanceTimersByTime(DAY_MS);
    expect(lapsed).toEqual(['x']);
  });
});
