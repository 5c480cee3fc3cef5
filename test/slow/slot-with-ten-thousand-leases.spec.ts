import { waitFor } from '@nest-baton/testing';
import { setTimeout as sleep } from 'node:timers/promises';
import { freshService, keysOf } from '../redis-reconcile/support/instance.js';
import { clusterUnderTest } from '../redis-reconcile/support/on-cluster.js';

const LEASES = 10_000;

describe('a slot with ten thousand leases', () => {
  const under = clusterUnderTest();

  it('moves to another master and back, and none of them is lost, given away or done twice', async () => {
    const service = freshService();
    let isOver = false;
    let done = 0;
    const owner = await under.start({
      service,
      options: { partitions: 1, lease: '60s', recovery: { interval: '1s' } },
      concurrency: LEASES,
      handle: async () => {
        while (!isOver) await sleep(500);
        done++;
      },
    });
    for (let i = 0; i < LEASES; i += 100)
      await Promise.all(Array.from({ length: 100 }, (_, n) => owner.service.produce(`s${i + n}`)));
    await waitFor(async () => (await owner.service.stats()).owned === LEASES, {
      description: 'all to be owned',
      timeoutMs: 60_000,
    });
    const key = keysOf(service).stream;
    for (let i = 0; i < 2; i++) {
      const from = await under.cluster.ownerOf(key);
      const to = (await under.cluster.masters()).find((master) => master !== from);
      if (to === undefined) throw new Error('no other master');
      await under.cluster.moveSlots({ slots: [under.cluster.slotOf(key)], to });
      // Renewed where they are now, all of them.
      await sleep(25_000);
      expect((await owner.service.stats()).owned).toBe(LEASES);
      expect(owner.eventsOf('lost')).toEqual([]);
    }
    isOver = true;
    const left = async () => (await owner.service.stats()).pending;
    await waitFor(async () => (await left()) === 0, { description: 'all to be done', timeoutMs: 60_000 });
    expect(done).toBe(LEASES);
    expect(owner.eventsOf('done')).toHaveLength(LEASES);
    for (const event of ['lost', 'requeued', 'released', 'deadLettered', 'doneRefused'] as const)
      expect([event, owner.eventsOf(event)]).toEqual([event, []]);
  }, 300_000);
});
