import { existsSync } from 'node:fs';
import { type RedisCluster, startRedisCluster, waitFor } from '@nest-baton/testing';
import { areGone, processesNaming } from './support/leftovers.js';

describe('a Redis Cluster of its own', () => {
  let cluster: RedisCluster;

  beforeAll(async () => {
    cluster = await startRedisCluster({ settings: { 'notify-keyspace-events': 'Ex', logfile: 'node.log' } });
  });

  afterAll(() => cluster.stop());

  const ask = async (port: number, ...args: (string | number)[]) => {
    const node = cluster.nodes.find((one) => one.port === port);
    if (node === undefined) throw new Error(`no node on ${port}`);
    return String(await cluster.command(node, ...args));
  };

  it('has three masters and three replicas, one for each, by their own word', async () => {
    const roles = await Promise.all(cluster.nodes.map(({ port }) => ask(port, 'ROLE')));
    expect(roles.map((role) => role.split(',')[0])).toEqual(
      cluster.nodes.map(({ role }) => (role === 'master' ? role : 'slave')),
    );
    expect(cluster.nodes.map(({ role }) => role)).toEqual([...Array(3).fill('master'), ...Array(3).fill('replica')]);
    const masters = await cluster.masters();
    expect(masters).toEqual(cluster.nodes.slice(0, 3));
    for (const master of masters) expect(await cluster.replicasOf(master)).toHaveLength(1);
  });

  it('listens on ports whose second port, for the bus, is below those of outgoing connections', () => {
    for (const { port, host, url, pid } of cluster.nodes) {
      expect(port + 10_000).toBeLessThan(32_768);
      expect([host, url, typeof pid]).toEqual(['127.0.0.1', `redis://127.0.0.1:${port}`, 'number']);
    }
    expect(new Set(cluster.urls).size).toBe(6);
  });

  it('computes slots as the servers do', async () => {
    const keys = ['a', '{runs:3}:owned', 'x{}y', '{', '}{a}', '{a{b}}c', 'grüße', ''];
    const [node] = cluster.nodes;
    for (const key of keys)
      expect([key, await ask(node?.port ?? 0, 'CLUSTER', 'KEYSLOT', key)]).toEqual([key, `${cluster.slotOf(key)}`]);
    expect(cluster.slotOf('{runs:3}:owned')).toBe(cluster.slotOf('runs:3'));
  });

  it('knows who owns a slot or a key, and commands go to that node only', async () => {
    for (const key of ['a', 'b', 'c']) {
      const owner = await cluster.ownerOf(key);
      expect(owner).toBe(await cluster.ownerOf(cluster.slotOf(key)));
      expect(await cluster.command(owner, 'SET', key, 'value')).toBe('OK');
      const other = cluster.nodes.find((node) => node !== owner && node.role === 'master');
      if (other === undefined) throw new Error('no other master');
      await expect(cluster.command(other, 'GET', key)).rejects.toThrow(
        `MOVED ${cluster.slotOf(key)} ${owner.host}:${owner.port}`,
      );
    }
    await expect(cluster.ownerOf(16_384)).rejects.toThrow('A slot is a whole number from 0 to 16383, not 16384.');
  });

  it('takes settings for every node, and configuration of one node stays with it', async () => {
    const [one, two] = cluster.nodes;
    const flags = (port = 0) => ask(port, 'CONFIG', 'GET', 'notify-keyspace-events');
    for (const { port } of cluster.nodes) expect(await flags(port)).toContain('xE');
    await ask(one?.port ?? 0, 'CONFIG', 'SET', 'notify-keyspace-events', '');
    expect([await flags(one?.port), await flags(two?.port)]).toEqual([
      'notify-keyspace-events,',
      'notify-keyspace-events,xE',
    ]);
  });

  it('refuses what it cannot be', async () => {
    await expect(
      startRedisCluster({ masters: 2, nodeTimeoutMs: 5000, settings: { port: 1 }, shards: 3 } as object),
    ).rejects.toMatchObject({
      code: 'OPTIONS_INVALID',
      problems: [
        expect.stringContaining('shards') as string,
        'masters must be at least 3, not 2',
        'nodeTimeoutMs must be at most 2000, not 5000',
        'settings.port is decided by startRedisCluster(), leave it out',
      ],
    });
  });

  it('leaves no process and no folder when it is stopped, with a dead and a frozen node, twice', async () => {
    const other = await startRedisCluster({ replicas: 0, nodeTimeoutMs: 500 });
    expect(other.nodes).toHaveLength(3);
    const [dead, frozen, running] = other.nodes;
    if (dead === undefined || frozen === undefined || running === undefined) throw new Error('too few nodes');
    const folder = String(((await other.command(running, 'CONFIG', 'GET', 'dir')) as string[])[1]);
    const pids = other.nodes.map(({ pid }) => pid ?? 0);
    expect(existsSync(folder)).toBe(true);
    await other.killMaster(dead);
    other.freeze(frozen);
    expect(other.nodes.map(({ state }) => state)).toEqual(['dead', 'frozen', 'running']);
    await expect(other.command(dead, 'PING')).rejects.toMatchObject({ code: 'BACKEND_FAILED' });
    await expect(other.command(frozen, 'PING')).rejects.toMatchObject({ code: 'BACKEND_FAILED' });
    await expect(other.failover(dead)).rejects.toMatchObject({ code: 'BACKEND_FAILED' });
    const unsettled = other.settled();
    await Promise.all([
      other.stop(),
      other.stop(),
      expect(unsettled).rejects.toMatchObject({ code: 'BACKEND_FAILED' }),
    ]);
    expect(areGone(pids, [folder])).toBe(true);
    expect(processesNaming(folder.replace(/\/\d+$/, ''))).toEqual([]);
    await expect(other.restartNode(dead)).rejects.toThrow('The cluster is stopped.');
    await waitFor(() => areGone(pids, [folder]), { description: 'nothing to come back' });
  });
});
