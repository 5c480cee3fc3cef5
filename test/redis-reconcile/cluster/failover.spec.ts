import type { Handoff } from '@nest-baton/redis-reconcile';
import { type RedisClusterNode, waitFor } from '@nest-baton/testing';
import { setTimeout as sleep } from 'node:timers/promises';
import { aborted, freshService, type Instance, keysOf } from '../support/instance.js';
import {
  clusterUnderTest,
  letReplicasTakeOver,
  mastersOf,
  PARTITIONS,
  serviceOnEveryMaster,
} from '../support/on-cluster.js';

/** Time for the cluster to replace a master, and to spare. */
const LEASE_MS = 8000;
const survives = { lease: LEASE_MS } as const;

/** What one process believed about an ownership, by the one clock that all of them have here. */
interface Ownership {
  readonly dataStream: string;
  readonly fence: number;
  readonly from: number;
  /** When it stopped believing. */
  until: number;
}

describe('a master', () => {
  const under = clusterUnderTest();

  /** One second of a busy machine must not look like a dead node before the test says so. */
  beforeEach(() => under.cluster.settled());
  afterEach(async () => {
    for (const node of under.cluster.nodes) {
      if (node.state === 'frozen') under.cluster.thaw(node);
      if (node.state === 'dead') await under.cluster.restartNode(node);
    }
    await under.cluster.settled({ timeoutMs: 60_000 });
    await everyNode('cluster-replica-no-failover', 'yes');
  });

  /** Replicas have everything that their masters had acknowledged by now. */
  const replicated = async () => {
    const offset = async (node: RedisClusterNode, field: string) => {
      const info = (await under.cluster.command(node, 'INFO', 'replication')) as string;
      return Number(new RegExp(`^${field}:(\\d+)`, 'm').exec(info)?.[1]);
    };
    for (const master of await under.cluster.masters()) {
      const written = await offset(master, 'master_repl_offset');
      for (const replica of await under.cluster.replicasOf(master))
        await waitFor(async () => (await offset(replica, 'slave_repl_offset')) >= written, {
          description: 'the replica to have it all',
        });
    }
  };

  const everyNode = (setting: string, value: string) =>
    Promise.all(under.cluster.nodes.map((node) => under.cluster.command(node, 'CONFIG', 'SET', setting, value)));

  /** A master that serves some of the partitions, and not what keeps their number. */
  const notTheMetaOf = async (service: string) => {
    const meta = await under.cluster.ownerOf(`{${service}}:meta`);
    const victim = (await mastersOf(under.cluster, service)).find((master) => master !== meta);
    if (victim === undefined) throw new Error('all lie with one master');
    return victim;
  };

  const recorded = () => {
    const ownerships: Ownership[] = [];
    const record = async (handoff: Handoff, work: () => Promise<void>) => {
      const { dataStream, fence } = handoff;
      const one: Ownership = { dataStream, fence, from: performance.now(), until: Infinity };
      ownerships.push(one);
      const stops = () => (one.until = Math.min(one.until, performance.now()));
      handoff.signal.addEventListener('abort', stops, { once: true });
      await work().finally(stops);
    };
    /** The longest that two believed to own one data stream at a time, in milliseconds. */
    const overlap = () => {
      let longest = 0;
      for (const one of ownerships)
        for (const other of ownerships)
          if (one !== other && one.dataStream === other.dataStream)
            longest = Math.max(longest, Math.min(one.until, other.until) - Math.max(one.from, other.from));
      return longest;
    };
    return { ownerships, record, overlap };
  };

  const drained = async (instance: Instance, timeoutMs: number) => {
    const isDrained = async () => {
      const { queued, pending, waiting, held } = await instance.service.stats();
      return queued + pending + waiting + held === 0;
    };
    await waitFor(isDrained, { description: 'nothing to be left', timeoutMs });
  };

  it('that hands over by agreement takes nothing from its owners: none is lost, none is given away (LocksSurviveGracefulFailover, B42)', async () => {
    const service = await serviceOnEveryMaster(under.cluster);
    const handoffs: Handoff[] = [];
    let isOver = false;
    const owner = await under.start({
      service,
      concurrency: 40,
      options: survives,
      handle: async (handoff) => {
        handoffs.push(handoff);
        while (!isOver) await sleep(20, undefined, { signal: handoff.signal });
      },
    });
    const bystander = await under.start({ service, concurrency: 1, options: survives, handle: async () => undefined });
    for (let i = 0; i < 30; i++) await owner.service.produce(`s${i}`);
    await waitFor(() => handoffs.length + bystander.eventsOf('acquired').length >= 30, { description: 'all owned' });
    for (const master of await under.cluster.masters()) await under.cluster.failover(master);
    // Long enough for each lease to be renewed on the promoted ones, and for scans to find what nobody renews.
    await sleep(LEASE_MS / 2);
    for (const handoff of handoffs) handoff.assertOwned();
    isOver = true;
    await drained(owner, 20_000);
    for (const instance of [owner, bystander]) {
      expect(instance.eventsOf('lost')).toEqual([]);
      expect(instance.eventsOf('requeued')).toEqual([]);
      expect(instance.eventsOf('released')).toEqual([]);
    }
    expect(handoffs.map(({ attempt }) => attempt)).toEqual(Array(handoffs.length).fill(1));
    const done = [owner, bystander].flatMap((instance) => instance.eventsOf('done'));
    expect(done).toHaveLength(30);
  });

  it('that is killed under load loses nothing that its replica has: all is done, by one owner at a time (B43, a master killed under load)', async () => {
    const service = await serviceOnEveryMaster(under.cluster);
    const { ownerships, record, overlap } = recorded();
    const handle = (handoff: Handoff) =>
      record(handoff, () => sleep(400, undefined, { signal: handoff.signal }).then(() => undefined));
    const workers: Instance[] = [];
    for (let i = 0; i < 3; i++)
      workers.push(await under.start({ service, concurrency: 12, options: survives, handle }));
    const producer = await under.start({ service, options: survives });
    const names = Array.from({ length: 150 }, (_, i) => `s${i}`);
    await Promise.all(names.map((name) => producer.service.produce(name)));
    await waitFor(() => ownerships.length > 20, { description: 'the work to be under way' });
    await replicated();
    const [victim] = await mastersOf(under.cluster, service);
    if (victim === undefined) throw new Error('no master');
    await letReplicasTakeOver(under.cluster, victim);
    await under.cluster.killMaster(victim);
    // Whoever hands off meanwhile may be told that it is not known: with a dedupe id the same call can be made again.
    const more = Array.from({ length: 40 }, (_, i) => `more${i}`);
    await Promise.all(
      more.map(async (name) => {
        const produce = () => producer.service.produce(name, { dedupeId: name }).catch(() => undefined);
        await waitFor(produce, { description: `${name} to be handed off`, timeoutMs: 30_000 });
      }),
    );
    await drained(producer, 60_000);
    const done = new Set(workers.flatMap((worker) => worker.eventsOf('done').map(({ dataStream }) => dataStream)));
    expect([...names, ...more].filter((name) => !done.has(name))).toEqual([]);
    // A fence is handed out once.
    const fences = ownerships.map(({ dataStream, fence }) => `${dataStream} ${fence}`);
    expect(new Set(fences).size).toBe(fences.length);
    // Of the same data stream, the later owner has the higher one.
    for (const one of ownerships)
      for (const other of ownerships)
        if (one.dataStream === other.dataStream && one.from < other.from)
          expect(other.fence).toBeGreaterThan(one.fence);
    expect(overlap()).toBeLessThanOrEqual(LEASE_MS);
    // An outage burns no retries: nothing came back as a crash, nothing was given up.
    expect(workers.flatMap((worker) => worker.eventsOf('deadLettered'))).toEqual([]);
    await under.cluster.settled();
    for (const worker of workers)
      await waitFor(async () => (await worker.service.health()).state === 'up', { description: 'it to be well again' });
  });

  it('that is frozen makes its owners stop by their own clock, and nobody else; its replica goes on with the work (a master frozen)', async () => {
    const service = await serviceOnEveryMaster(under.cluster);
    const { ownerships, record, overlap } = recorded();
    const leaseMs = 3000;
    const abortedAt = new Map<string, number>();
    let isOver = false;
    const worker = await under.start({
      service,
      concurrency: 60,
      options: { lease: leaseMs, commandTimeout: '1s' },
      handle: (handoff) =>
        record(handoff, async () => {
          while (!isOver && !handoff.signal.aborted) await sleep(10);
          if (!handoff.signal.aborted) return;
          abortedAt.set(handoff.dataStream, performance.now());
          expect(() => handoff.assertOwned()).toThrow('lost');
          throw await aborted(handoff.signal);
        }),
    });
    const names = Array.from({ length: 24 }, (_, i) => `s${i}`);
    for (const name of names) await worker.service.produce(name);
    await waitFor(() => ownerships.length === 24, { description: 'all to be owned' });
    await replicated();
    const masters = await mastersOf(under.cluster, service);
    const victim = await notTheMetaOf(service);
    const affected = new Set<string>();
    for (let p = 0; p < PARTITIONS; p++)
      if (masters[p] === victim)
        for (const name of await under.admin.hkeys(keysOf(service, p, PARTITIONS).owned)) affected.add(name);
    expect(affected.size).toBeGreaterThan(0);
    // For as long as we say nobody takes over, and the others go on without the slots of the frozen one.
    await everyNode('cluster-require-full-coverage', 'no');
    under.cluster.freeze(victim);
    const at = performance.now();
    await waitFor(() => affected.size === abortedAt.size, { description: 'its owners to stop', timeoutMs: 20_000 });
    // By the lease since the last renewal that worked, also where the timers of a busy machine are late.
    for (const time of abortedAt.values()) expect(time - at).toBeLessThan(leaseMs + 5000);
    expect(new Set(abortedAt.keys())).toEqual(affected);
    expect(await worker.service.health()).toMatchObject({ state: 'degraded', reason: 'masters_away', masters: 3 });
    // The others renew all the while.
    await sleep(leaseMs);
    expect(new Set(abortedAt.keys())).toEqual(affected);
    isOver = true;
    await waitFor(() => worker.eventsOf('done').length >= names.length - affected.size, {
      description: 'the work of the others to be done',
    });
    await letReplicasTakeOver(under.cluster, victim);
    // New work of those partitions is taken as well: no read hangs in the frozen server.
    for (let i = 0; i < 16; i++)
      await waitFor(() => worker.service.produce(`new${i}`, { dedupeId: 'once' }).catch(() => undefined), {
        description: 'new work to be handed off',
        timeoutMs: 30_000,
      });
    await drained(worker, 60_000);
    expect(victim.state).toBe('frozen');
    under.cluster.thaw(victim);
    await under.cluster.settled({ timeoutMs: 60_000 });
    await everyNode('cluster-require-full-coverage', 'yes');
    const done = worker.eventsOf('done').map(({ dataStream }) => dataStream as string);
    expect(done.toSorted()).toEqual([...names, ...Array.from({ length: 16 }, (_, i) => `new${i}`)].toSorted());
    expect(new Set(worker.eventsOf('lost').map(({ dataStream }) => dataStream))).toEqual(affected);
    // An outage is nobody's failure: it came back as the same attempt.
    expect(worker.eventsOf('requeued')).toEqual([]);
    for (const { attempt } of worker.eventsOf('done')) expect(attempt).toBe(1);
    expect(overlap()).toBeLessThanOrEqual(leaseMs);
  });

  it('whose clock is behind that of the one before hands out higher fences all the same (clocks of nodes apart)', async () => {
    const service = freshService();
    const seen: Handoff[] = [];
    const instance = await under.start({ service, handle: async (handoff) => void seen.push(handoff) });
    // As one whose clock was ten minutes ahead has left it.
    const ahead = (Date.now() + 600_000) * 1000;
    for (let p = 0; p < PARTITIONS; p++) await under.admin.set(`{${service}:${p}/${PARTITIONS}}:fence`, String(ahead));
    for (const master of await under.cluster.masters()) await under.cluster.failover(master);
    for (let i = 0; i < 16; i++) await instance.service.produce(`s${i}`);
    await waitFor(() => seen.length === 16, { description: 'all to be done' });
    for (const { fence } of seen) expect(fence).toBeGreaterThan(ahead);
    expect(new Set(seen.map(({ dataStream, fence }) => `${dataStream} ${fence}`)).size).toBe(16);
  });
});
