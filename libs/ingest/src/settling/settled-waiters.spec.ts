import { getEventListeners } from 'node:events';
import { SettledWaiters } from './settled-waiters.js';

describe('SettledWaiters', () => {
  it('lets go who waits for what has settled, and nobody else', async () => {
    let oldest = 1;
    const waiters = new SettledWaiters(() => oldest);
    await waiters.until(0);
    const second = waiters.until(1);
    const third = waiters.until(2);
    expect(waiters.size).toBe(2);
    oldest = 2;
    waiters.tell();
    await second;
    expect(waiters.size).toBe(1);
    oldest = Infinity;
    waiters.tell();
    await third;
    expect(waiters.size).toBe(0);
  });

  it('forgets who does not wait any more, and leaves no listener', async () => {
    let oldest = 0;
    const waiters = new SettledWaiters(() => oldest);
    const given = new AbortController();
    void waiters.until(0, given.signal);
    given.abort();
    void waiters.until(0, given.signal);
    expect(waiters.size).toBe(0);
    const patient = new AbortController();
    const settled = waiters.until(0, patient.signal);
    oldest = Infinity;
    waiters.tell();
    await settled;
    expect(getEventListeners(patient.signal, 'abort')).toHaveLength(0);
  });
});
