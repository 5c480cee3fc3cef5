import type { Handoff } from '@nest-baton/redis-reconcile';
import { waitFor } from '@nest-baton/testing';
import { setTimeout as sleep } from 'node:timers/promises';
import { freshService, keysOf } from '../support/instance.js';
import { clusterUnderTest } from '../support/on-cluster.js';

describe('a slot that moves', () => {
  const under = clusterUnderTest();
  beforeEach(() => under.cluster.settled());

  /** There and back, with all keys, while clients go on. */
  const moveAbout = async (key: string, times: number) => {
    for (let i = 0; i < times; i++) {
      const owner = await under.cluster.ownerOf(key);
      const to = (await under.cluster.masters()).find((master) => master !== owner);
      if (to === undefined) throw new Error('no other master');
      await under.cluster.moveSlots({ slots: [under.cluster.slotOf(key)], to });
    }
  };

  it('with hundreds of leases under load loses none of them: nothing is lost, given away or done twice (MOVED, ASK, TRYAGAIN)', async () => {
    const service = freshService();
    const owned = new Map<string, Handoff>();
    const done: string[] = [];
    let isOver = false;
    const options = { partitions: 1, lease: '10s' } as const;
    const owner = await under.start({
      service,
      options,
      concurrency: 350,
      handle: async (handoff) => {
        if (handoff.dataStream.startsWith('long')) {
          owned.set(handoff.dataStream, handoff);
          while (!isOver) await sleep(20, undefined, { signal: handoff.signal });
        }
        done.push(handoff.dataStream);
      },
    });
    const other = await under.start({
      service,
      options,
      concurrency: 5,
      handle: async ({ dataStream }) => {
        while (!isOver && dataStream.startsWith('long')) await sleep(20);
        done.push(dataStream);
      },
    });
    const long = Array.from({ length: 300 }, (_, i) => `long${i}`);
    await Promise.all(long.map((name) => owner.service.produce(name)));
    const acquired = () => [owner, other].flatMap((instance) => instance.eventsOf('acquired')).length;
    await waitFor(() => acquired() >= 300, { description: 'all to be owned', timeoutMs: 20_000 });
    const short: string[] = [];
    const load = (async () => {
      for (let i = 0; !isOver; i++) {
        const name = `short${i}`;
        const produce = () => owner.service.produce(name, { dedupeId: name }).catch(() => undefined);
        await waitFor(produce, { description: `${name} to be handed off`, timeoutMs: 20_000 });
        short.push(name);
        await sleep(5);
      }
    })();
    await moveAbout(keysOf(service).stream, 4);
    expect(owned.size).toBeGreaterThan(200);
    for (const handoff of owned.values()) handoff.assertOwned();
    // Longer than a renewal: they are renewed where they are now.
    await sleep(4000);
    for (const handoff of owned.values()) handoff.assertOwned();
    isOver = true;
    await load;
    const drained = async () => {
      const { queued, pending, waiting, held } = await owner.service.stats();
      return queued + pending + waiting + held === 0;
    };
    await waitFor(drained, { description: 'nothing to be left', timeoutMs: 30_000 });
    expect(done.toSorted()).toEqual([...long, ...short].toSorted());
    for (const instance of [owner, other])
      for (const event of ['lost', 'requeued', 'released', 'deadLettered', 'doneRefused'] as const)
        expect([event, instance.eventsOf(event)]).toEqual([event, []]);
    const errors = await Promise.all(
      under.cluster.nodes.map((node) => under.cluster.command(node, 'INFO', 'errorstats') as Promise<string>),
    );
    expect(errors.join('\n')).not.toContain('CROSSSLOT');
    // What it went through was what it is about.
    expect(errors.join('\n')).toMatch(/errorstat_(MOVED|ASK|TRYAGAIN)/);
  });
});
