import { setTimeout as sleep } from 'node:timers/promises';
import { StallMeter } from './stall-meter.js';

describe('StallMeter', () => {
  it('says how long the process could not run', async () => {
    const stalls = StallMeter.start();
    await sleep(30);
    const until = performance.now() + 300;
    while (performance.now() < until);
    await sleep(30);
    expect(stalls.stop()).toBeGreaterThan(250);
  });

  it('says nothing before anything was measured, nor grows after it was stopped', async () => {
    const stalls = StallMeter.start();
    expect(stalls.worstMs).toBe(0);
    const atTheEnd = stalls.stop();
    const until = performance.now() + 100;
    while (performance.now() < until);
    await sleep(30);
    expect(stalls.worstMs).toBe(atTheEnd);
  });
});
