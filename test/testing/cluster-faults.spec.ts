import {
  ClusterFaultProxy,
  type NodeAddress,
  type RedisCluster,
  type RedisClusterNode,
  startRedisCluster,
  waitFor,
} from '@nest-baton/testing';
import { Cluster } from 'ioredis';

/** Settings with which ioredis notices everything and gives up on nothing that a failover mends. */
function connect(
  nodes: readonly NodeAddress[],
  commandTimeout: number,
  natMap: Record<string, NodeAddress> = {},
): Cluster {
  const cluster = new Cluster(
    nodes.map(({ host, port }) => ({ host, port })),
    {
      clusterRetryStrategy: () => 50,
      slotsRefreshTimeout: 1000,
      redisOptions: { commandTimeout, connectTimeout: 500, disconnectTimeout: 100, maxRetriesPerRequest: 1 },
      natMap,
    },
  );
  cluster.on('error', () => undefined);
  return cluster;
}

/** Writes one counter after the other until it is told to stop; what was acknowledged must be there in the end. */
class Writer {
  readonly errors: string[] = [];
  readonly acknowledged = new Map<string, number>();
  private isRunning = true;
  private readonly done: Promise<void>;

  constructor(
    private readonly redis: Cluster,
    private readonly keys: readonly string[],
  ) {
    this.done = this.run();
  }

  async stop(): Promise<void> {
    this.isRunning = false;
    await this.done;
  }

  get count(): number {
    return [...this.acknowledged.values()].reduce((sum, one) => sum + one, 0);
  }

  /** Keys whose counter is lower than what was acknowledged. */
  async lost(): Promise<string[]> {
    const lost: string[] = [];
    for (const [key, count] of this.acknowledged) if (Number(await this.redis.get(key)) < count) lost.push(key);
    return lost;
  }

  private async run(): Promise<void> {
    for (let index = 0; this.isRunning; index++) {
      const key = this.keys[index % this.keys.length] ?? '';
      try {
        this.acknowledged.set(key, await this.redis.incr(key));
      } catch (error) {
        this.errors.push((error as Error).message);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  }
}

describe('a Redis Cluster that is broken on purpose', () => {
  let cluster: RedisCluster;
  let redis: Cluster;
  let writer: Writer | undefined;

  beforeAll(async () => {
    cluster = await startRedisCluster();
  });

  beforeEach(async () => {
    // While masters hand over, writes wait at the old one: a time-out of less would be an error of ours.
    redis = connect(cluster.nodes, 5000);
    await redis.ping();
  });

  afterEach(async () => {
    await writer?.stop();
    writer = undefined;
    redis.disconnect();
    for (const node of cluster.nodes) {
      if (node.state === 'frozen') cluster.thaw(node);
      if (node.state === 'dead') await cluster.restartNode(node);
    }
    await cluster.settled();
  });

  afterAll(() => cluster.stop());

  const write = (...keys: string[]) => (writer = new Writer(redis, keys));
  const goesOn = (running: Writer, by = 50) => {
    const target = running.count + by;
    return waitFor(() => running.count >= target, { description: `${by} more writes` });
  };
  const roleOf = async (node: RedisClusterNode) => ((await cluster.command(node, 'ROLE')) as unknown[])[0];

  it('gives the slots of a killed master to its replica, and writes succeed again', async () => {
    const owner = await cluster.ownerOf('a');
    const [replica] = await cluster.replicasOf(owner);
    const running = write('a');
    await goesOn(running);
    const started = performance.now();
    const killed = await cluster.killMaster('a');
    expect([killed, killed.state, killed.pid]).toEqual([owner, 'dead', undefined]);
    await expect(cluster.killMaster('a')).rejects.toThrow('await settled() first');
    await cluster.settled();
    expect(await cluster.ownerOf('a')).toBe(replica);
    expect(replica?.role).toBe('master');
    await goesOn(running);
    // Twice the node timeout and an election, on a busy machine.
    expect(performance.now() - started).toBeLessThan(10_000);
    await cluster.restartNode(killed);
    await cluster.settled();
    expect([killed.role, killed.state, await roleOf(killed)]).toEqual(['replica', 'running', 'slave']);
    expect(await cluster.replicasOf(await cluster.ownerOf('a'))).toEqual([killed]);
  });

  it('fails over by agreement without a lost write and without an error', async () => {
    const before = await cluster.ownerOf('a');
    const running = write('a', 'b', 'c');
    await goesOn(running);
    const promoted = await cluster.failover('a');
    await goesOn(running);
    await running.stop();
    expect(await cluster.ownerOf('a')).toBe(promoted);
    expect([promoted.role, before.role]).toEqual(['master', 'replica']);
    expect(running.errors).toEqual([]);
    expect(await running.lost()).toEqual([]);
    // The same by naming the replica: back to the first.
    expect(await cluster.failover(before)).toBe(before);
    expect(await cluster.ownerOf('a')).toBe(before);
  });

  it('replaces a frozen master by force, and by itself after the node timeout', async () => {
    const frozen = await cluster.ownerOf('b');
    cluster.freeze(frozen);
    expect(frozen.state).toBe('frozen');
    await expect(cluster.failover(frozen)).rejects.toThrow(`needs 'force' or 'takeover'`);
    const promoted = await cluster.failover(frozen, { mode: 'force' });
    expect(await cluster.command(promoted, 'SET', 'b', 'x')).toBe('OK');
    cluster.thaw(frozen);
    await cluster.settled();
    expect([await roleOf(frozen), frozen.state]).toEqual(['slave', 'running']);
    cluster.freeze(promoted);
    await cluster.settled();
    expect(await cluster.ownerOf('b')).toBe(frozen);
    cluster.thaw(promoted);
    await cluster.settled();
    expect(promoted.role).toBe('replica');
  });

  it('makes a replica take over without anybody’s consent, several times in a row', async () => {
    for (let round = 0; round < 3; round++) {
      const before = await cluster.ownerOf('c');
      const promoted = await cluster.failover('c', { mode: round % 2 === 0 ? 'takeover' : 'force' });
      expect(promoted).not.toBe(before);
      expect(await cluster.ownerOf('c')).toBe(promoted);
    }
  });

  it('moves slots with their keys under a writer: no error, no lost write, all nodes told', async () => {
    const tags = ['a', 'b', 'c'];
    const keys = tags.flatMap((tag) => Array.from({ length: 700 }, (_, index) => `{${tag}}:${index}`));
    for (let start = 0; start < keys.length; start += 350) {
      const pipeline = redis.pipeline();
      // One tag, one node: a pipeline may not span slots of several.
      for (const key of keys.slice(start, start + 350)) pipeline.set(`${key}:ttl`, 'x', 'EX', 1000);
      await pipeline.exec();
    }
    const running = write(...keys);
    await goesOn(running);
    const slots = tags.map((tag) => cluster.slotOf(`{${tag}}`));
    const from = await Promise.all(slots.map((slot) => cluster.ownerOf(slot)));
    for (const to of await cluster.masters()) {
      await cluster.moveSlots({ slots, to });
      expect(await Promise.all(slots.map((slot) => cluster.ownerOf(slot)))).toEqual(slots.map(() => to));
      await goesOn(running);
    }
    await goesOn(running, keys.length);
    await running.stop();
    expect(running.errors).toEqual([]);
    expect(await running.lost()).toEqual([]);
    for (const key of ['{a}:0:ttl', '{b}:699:ttl', '{c}:350:ttl']) expect(await redis.ttl(key)).toBeGreaterThan(900);
    for (const [index, slot] of slots.entries())
      await cluster.moveSlots({ slots: [slot], to: from[index] as RedisClusterNode });
    for (const node of cluster.nodes)
      expect(String(await cluster.command(node, 'CLUSTER', 'NODES'))).not.toMatch(/\[\d+-[<>]-/);
  });

  it('moves a range away and back', async () => {
    const [one, two] = await cluster.masters();
    if (one === undefined || two === undefined) throw new Error('too few masters');
    const owners = await Promise.all([0, 999, 1000].map((slot) => cluster.ownerOf(slot)));
    const to = owners[0] === one ? two : one;
    await cluster.moveSlots({ slots: { first: 0, last: 999 }, to });
    expect(await Promise.all([0, 999, 1000].map((slot) => cluster.ownerOf(slot)))).toEqual([to, to, owners[2]]);
    await cluster.moveSlots({ slots: { first: 0, last: 999 }, to: owners[0] as RedisClusterNode });
    expect(await cluster.ownerOf(500)).toBe(owners[0]);
  });

  it('says what it waits for when it cannot settle', async () => {
    const owner = await cluster.ownerOf('a');
    const [replica] = await cluster.replicasOf(owner);
    if (replica === undefined) throw new Error('no replica');
    await cluster.killMaster(replica);
    await cluster.killMaster(owner);
    await expect(cluster.settled({ timeoutMs: 200 })).rejects.toThrow(
      /The cluster had not settled after 200 ms: 127\.0\.0\.1:\d+ (names an owner of slots that is gone|marks|says)/,
    );
    await expect(cluster.failover('a', { mode: 'takeover' })).rejects.toThrow('has no replica that runs');
  });

  describe('behind a path for each node', () => {
    let path: ClusterFaultProxy;
    let behind: Cluster;

    beforeEach(async () => {
      path = await ClusterFaultProxy.start(cluster);
      behind = connect(path.nodes, 500, path.natMap);
      for (const key of ['a', 'b', 'c', 'd', 'e', 'f']) await behind.set(key, 'through');
    });

    afterEach(async () => {
      behind.disconnect();
      await path.stop();
    });

    /** Connections of clients to a node: not this one that asks, nor those that a node keeps for MIGRATE. */
    const clientsOf = async (node: RedisClusterNode) =>
      String(await cluster.command(node, 'CLIENT', 'LIST', 'TYPE', 'NORMAL'))
        .trim()
        .split('\n')
        .filter((line) => !/ cmd=(client|restore)/.test(line)).length;

    it('leads every connection of a client through it, also after a redirection and a failover', async () => {
      redis.disconnect();
      const everythingIsBehind = async () => {
        const counts = await Promise.all(cluster.nodes.map(clientsOf));
        return counts.join() === path.proxies.map((proxy) => proxy.counts.open).join();
      };
      await waitFor(everythingIsBehind, { description: 'no connection but those of the paths' });
      const masters = await cluster.masters();
      for (const master of masters) expect(path.proxyOf(master).counts.passed.toServer).toBeGreaterThan(0);
      const promoted = await cluster.failover('a');
      const to = masters.find((one) => one.port !== promoted.port && one.role === 'master');
      if (to === undefined) throw new Error('no other master');
      const slot = cluster.slotOf('b');
      const back = await cluster.ownerOf(slot);
      await cluster.moveSlots({ slots: [slot], to: to === back ? promoted : to });
      for (const key of ['a', 'b', 'c']) expect(await behind.get(key)).toBe('through');
      await waitFor(everythingIsBehind, { description: 'no connection around the paths' });
      await cluster.moveSlots({ slots: [slot], to: back });
      expect(() => path.proxyOf({ host: '127.0.0.1', port: 1 })).toThrow('No path leads to 127.0.0.1:1.');
    });

    it('cuts one node off from clients while the cluster sees no fault', async () => {
      const owner = await cluster.ownerOf('a');
      path.proxyOf(owner).blackHole();
      await expect(behind.set('a', 'lost')).rejects.toThrow();
      expect(await cluster.command(owner, 'GET', 'a')).toBe('through');
      await cluster.settled({ timeoutMs: 2000 });
      expect(await cluster.ownerOf('a')).toBe(owner);
      await path.heal();
      await waitFor(() => behind.set('a', 'again').catch(() => undefined), { description: 'the way to be open again' });
    });
  });
});
