import { setTimeout as sleep } from 'node:timers/promises';
import { Refilling } from './refilling.js';

function counted(): { refilling: Refilling; refills: () => number } {
  let refills = 0;
  return { refilling: new Refilling(() => void refills++), refills: () => refills };
}

describe('slots that free', () => {
  it('are used again at once where there is one', () => {
    const { refilling, refills } = counted();
    refilling.slotFreed(0);
    expect(refills()).toBe(1);
  });

  it('are used again together, when half of all are free', () => {
    const { refilling, refills } = counted();
    for (let busy = 63; busy > 32; busy--) refilling.slotFreed(busy);
    expect(refills()).toBe(0);
    refilling.slotFreed(32);
    expect(refills()).toBe(1);
    refilling.stop();
  });

  it('do not wait for others that take their time', async () => {
    const { refilling, refills } = counted();
    refilling.slotFreed(31);
    refilling.slotFreed(30);
    expect(refills()).toBe(0);
    while (refills() === 0) await sleep(1);
    expect(refills()).toBe(1);
  });

  it('are counted anew from each claim', () => {
    const { refilling, refills } = counted();
    refilling.slotFreed(3);
    refilling.claiming();
    refilling.slotFreed(2);
    expect(refills()).toBe(0);
    refilling.slotFreed(1);
    expect(refills()).toBe(1);
  });

  it('wake nobody after the end', async () => {
    const { refilling, refills } = counted();
    refilling.slotFreed(31);
    refilling.stop();
    refilling.slotFreed(0);
    await sleep(20);
    expect(refills()).toBe(0);
  });
});
