import { soakPlan, waitFor } from '@nest-baton/testing';
import { setTimeout as sleep } from 'node:timers/promises';
import { clusterUnderTest, mastersOf, serviceOnEveryMaster } from '../redis-reconcile/support/on-cluster.js';
import { OneOwner } from '../redis-reconcile/support/watching/one-owner.js';

const { durationMs } = soakPlan();
const LEASE_MS = 3000;
const NAMES = Array.from({ length: 24 }, (_, i) => `s${i}`);

describe('a master that is frozen for longer than anything waits', () => {
  const under = clusterUnderTest();

  it(
    `costs its owners their leases and nobody else's, counts for nobody, and goes on where it was (SLOW_SECONDS=${durationMs / 1000})`,
    async () => {
      const service = await serviceOnEveryMaster(under.cluster);
      const one = new OneOwner();
      const attempts = new Set<number>();
      let isOver = false;
      const options = { lease: LEASE_MS, commandTimeout: '1s', recovery: { interval: '1s' } } as const;
      const [worker, other] = await Promise.all(
        ['one', 'two'].map(() =>
          under.start({
            service,
            concurrency: 60,
            options,
            handle: async (handoff) => {
              attempts.add(handoff.attempt);
              await one.watch(handoff, async () => {
                while (!isOver) await sleep(20, undefined, { signal: handoff.signal });
              });
            },
          }),
        ),
      );
      if (worker === undefined || other === undefined) throw new Error('two were started');
      const ids = await Promise.all(NAMES.map((name) => worker.service.produce(name)));
      const acquired = () => [worker, other].flatMap((instance) => instance.eventsOf('acquired')).length;
      await waitFor(() => acquired() === NAMES.length, { description: 'all to be owned', timeoutMs: 20_000 });
      const meta = await under.cluster.ownerOf(`{${service}}:meta`);
      const victim = (await mastersOf(under.cluster, service)).find((master) => master !== meta);
      if (victim === undefined) throw new Error('all lie with one master');
      for (const node of under.cluster.nodes)
        await under.cluster.command(node, 'CONFIG', 'SET', 'cluster-require-full-coverage', 'no');
      under.cluster.freeze(victim);
      await sleep(durationMs);
      const lost = () => [worker, other].flatMap((instance) => instance.eventsOf('lost')).length;
      expect(lost()).toBeGreaterThan(0);
      expect(lost()).toBeLessThan(NAMES.length);
      expect(one.finished).toEqual([]);
      under.cluster.thaw(victim);
      await under.cluster.settled({ timeoutMs: 60_000 });
      // Whoever lost has them again, or somebody else has: uncounted.
      await waitFor(() => acquired() >= NAMES.length + lost(), {
        description: 'what was lost to be owned again',
        timeoutMs: 60_000,
      });
      isOver = true;
      await waitFor(() => one.finished.length >= ids.length, { description: 'all to be done', timeoutMs: 60_000 });
      expect(one.finished.toSorted()).toEqual(ids.toSorted());
      expect([...attempts]).toEqual([1]);
      expect(one.problems).toEqual([]);
    },
    durationMs + 240_000,
  );
});
