import { Gate, waitFor } from '@nest-baton/testing';
import { clusterUnderTest, mastersOf, PARTITIONS, serviceOnEveryMaster } from '../support/on-cluster.js';
import { OneOwner, repartitionWhole } from '../support/watching/one-owner.js';

const FEWER = 3;

describe('the number of partitions of a cluster', () => {
  const under = clusterUnderTest();
  beforeEach(() => under.cluster.settled());
  afterEach(async () => {
    for (const node of under.cluster.nodes) if (node.state === 'frozen') under.cluster.thaw(node);
    await under.cluster.settled({ timeoutMs: 60_000 });
  });

  it('is changed with owners on every master: they finish, nothing is lost, and no data stream has two of them', async () => {
    const service = await serviceOnEveryMaster(under.cluster);
    const gate = new Gate();
    const one = new OneOwner();
    const before = await under.start({
      service,
      concurrency: 20,
      options: { lease: '5s' },
      handle: (handoff) => one.watch(handoff, () => gate.pass()),
    });
    const names = Array.from({ length: 60 }, (_, i) => `s${i}`);
    const ids = await Promise.all(names.map((name) => before.service.produce(name)));
    await gate.arrived(20);
    const first = await before.service.repartition(FEWER);
    expect(first).toMatchObject({ from: PARTITIONS, to: FEWER, stillOwned: 20, isDone: false });
    const after = await under.start({
      service,
      concurrency: 20,
      options: { lease: '5s', partitions: FEWER },
      handle: (handoff) => one.watch(handoff, async () => undefined),
    });
    // A second one for each, of which some have an owner in the old partitions.
    ids.push(...(await Promise.all(names.map((name) => after.service.produce(name)))));
    await waitFor(() => one.finished.length >= 80, {
      description: 'all that has no owner to be done',
      timeoutMs: 20_000,
    });
    expect(one.finished).toHaveLength(80);
    gate.open();
    await waitFor(() => one.finished.length >= 120, { description: 'all to be done', timeoutMs: 20_000 });
    await repartitionWhole(after, FEWER);
    expect(one.finished.toSorted()).toEqual(ids.toSorted());
    expect(one.problems).toEqual([]);
    expect(await after.service.stats()).toMatchObject({ queued: 0, pending: 0, waiting: 0, dead: 0 });
  });

  it('is not changed halfway when a master does not answer: the call says so, and the next one goes on', async () => {
    const service = await serviceOnEveryMaster(under.cluster);
    const options = { commandTimeout: 700 } as const;
    const before = await under.start({ service, options });
    const names = Array.from({ length: 30 }, (_, i) => `s${i}`);
    const ids = await Promise.all(names.map((name) => before.service.produce(name)));
    const meta = await under.cluster.ownerOf(`{${service}}:meta`);
    const victim = (await mastersOf(under.cluster, service)).find((master) => master !== meta);
    if (victim === undefined) throw new Error('all lie with one master');
    under.cluster.freeze(victim);
    await expect(before.service.repartition(FEWER)).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' });
    // Sealed or not, nothing runs under the new number yet.
    const refused = await under
      .start({ service, options: { ...options, partitions: FEWER } })
      .catch((error: { code?: string }) => error.code);
    expect(['PARTITIONS_MISMATCH', 'REDIS_UNAVAILABLE']).toContain(refused);
    under.cluster.thaw(victim);
    await under.cluster.settled({ timeoutMs: 60_000 });
    await waitFor(async () => (await before.service.repartition(FEWER).catch(() => undefined))?.isDone === true, {
      description: 'the change to come to its end',
      timeoutMs: 30_000,
    });
    const done: string[] = [];
    await under.start({
      service,
      options: { partitions: FEWER },
      handle: async ({ handoffId }) => void done.push(handoffId),
    });
    await waitFor(() => done.length >= 30, { description: 'all to be done', timeoutMs: 20_000 });
    expect(done.toSorted()).toEqual(ids.toSorted());
  });
});
