import { playActors } from '@nest-baton/testing';
import fc from 'fast-check';
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

describe('capacity, with any actors in any order', () => {
  it('never gives more than it has, loses no slot, and leaves nobody waiting while one is free', async () => {
    const turns = fc.array(fc.constantFrom('one', 'many'), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.integer({ min: 1, max: 3 }), fc.array(turns), async (s, size, actors) => {
        const capacity = new Capacity(size);
        let held = 0;
        const take = (count: number) => {
          held += count;
          expect(held).toBeLessThanOrEqual(size);
          expect(capacity.inUse).toBe(held);
        };
        const give = (count: number) => {
          held -= count;
          capacity.release(count);
        };
        const steps = actors.map((wants) =>
          wants.map((want) => async () => {
            expect(await capacity.take()).toBe(true);
            // The slot may have been handed over before this actor hears of it.
            held++;
            const more = want === 'many' ? capacity.takeFree(2) : 0;
            held += more;
            expect(held).toBeLessThanOrEqual(size);
            await s.schedule(Promise.resolve(), 'works');
            give(1 + more);
          }),
        );
        await playActors(s, Object.fromEntries(steps.entries()));
        expect([held, capacity.inUse]).toEqual([0, 0]);
        take(capacity.takeFree(10));
        expect(held).toBe(size);
      }),
    );
  });
});
