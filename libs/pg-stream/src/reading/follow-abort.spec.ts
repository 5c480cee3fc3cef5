import { getEventListeners } from 'node:events';
import { followAbort } from './follow-abort.js';

const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length;

describe('followAbort', () => {
  it('tells all who follow, with one listener for all of them and none after the last', () => {
    const abort = new AbortController();
    const told: number[] = [];
    const ends = Array.from({ length: 20 }, (_, i) => followAbort(abort.signal, () => told.push(i)));
    expect(listeners(abort.signal)).toBe(1);
    ends.slice(0, 18).forEach((end) => end());
    ends[0]!();
    abort.abort();
    expect(told).toEqual([18, 19]);
    ends.forEach((end) => end());
    expect(listeners(abort.signal)).toBe(0);
  });

  it('begins anew after the last has left', () => {
    const abort = new AbortController();
    followAbort(abort.signal, () => undefined)();
    let isTold = false;
    followAbort(abort.signal, () => (isTold = true));
    abort.abort();
    expect(isTold).toBe(true);
  });

  it('tells at once of a signal that has aborted, and nothing of none', () => {
    let told = 0;
    followAbort(AbortSignal.abort(), () => told++)();
    followAbort(undefined, () => told++)();
    expect(told).toBe(1);
  });
});
