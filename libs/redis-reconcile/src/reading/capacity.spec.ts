import { Capacity } from './capacity.js';

describe('capacity', () => {
  it('gives slots in the order of asking, and never more than it has', async () => {
    const capacity = new Capacity(2);
    expect(await capacity.take()).toBe(true);
    expect(capacity.takeFree(10)).toBe(1);
    const order: number[] = [];
    const waits = [1, 2].map((n) => capacity.take().then(() => order.push(n)));
    expect(capacity.takeFree(10)).toBe(0);
    capacity.release();
    await waits[0];
    expect(order).toEqual([1]);
    capacity.release(2);
    await waits[1];
    expect(order).toEqual([1, 2]);
    expect(capacity.inUse).toBe(1);
  });

  it('lets nobody wait once it is closed', async () => {
    const capacity = new Capacity(1);
    await capacity.take();
    const waiting = capacity.take();
    capacity.close();
    expect(await waiting).toBe(false);
    expect(await capacity.take()).toBe(false);
  });
});
