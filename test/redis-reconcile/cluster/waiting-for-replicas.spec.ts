import { waitFor } from '@nest-baton/testing';
import { freshService, keysOf } from '../support/instance.js';
import { clusterUnderTest } from '../support/on-cluster.js';

describe('a hand-off that waits for replicas of a cluster', () => {
  const under = clusterUnderTest();
  beforeEach(() => under.cluster.settled());

  const options = { partitions: 1 } as const;

  it('is confirmed by those of the master that serves it, and not by more than there are', async () => {
    const service = freshService();
    const { service: reconcile } = await under.start({ service, options });
    const id = await reconcile.produce('a', { waitReplicas: 1 });
    const { stream } = keysOf(service);
    const master = await under.cluster.ownerOf(stream);
    const [replica] = await under.cluster.replicasOf(master);
    if (replica === undefined) throw new Error('a master without a replica');
    const entry = await under.cluster.command(replica, 'XREVRANGE', stream, '+', '-', 'COUNT', '1').catch(String);
    // A replica of a cluster sends clients away, unless they said that they only read; what it has its own counter tells.
    if (typeof entry !== 'string') expect(JSON.stringify(entry)).toContain(id);
    await expect(reconcile.produce('b', { waitReplicas: 2 })).rejects.toMatchObject({
      ...{ code: 'HANDOFF_UNCONFIRMED', retryable: true, replicas: 1 },
      handoffId: expect.any(String),
    });
    expect(await under.admin.xlen(stream)).toBe(2);
  });

  it('is confirmed by those of the promoted master after a failover, and was not lost in it', async () => {
    const service = freshService();
    const { service: reconcile } = await under.start({ service, options });
    const { stream } = keysOf(service);
    const ids = [await reconcile.produce('a', { waitReplicas: 1 })];
    const promoted = await under.cluster.failover(await under.cluster.ownerOf(stream));
    // Its connection leads to a replica by now: a call may be refused, and is made again.
    await waitFor(
      async () => {
        const id = await reconcile.produce('b', { waitReplicas: 1, dedupeId: 'b' }).catch(() => undefined);
        if (id !== undefined) ids.push(id);
        return id !== undefined;
      },
      { description: 'the promoted one and its replica to have it', timeoutMs: 20_000 },
    );
    expect(await under.cluster.ownerOf(stream)).toBe(promoted);
    const entries = await under.admin.xrange(stream, '-', '+');
    expect(entries.map(([, fields]) => fields[fields.indexOf('id') + 1])).toEqual(ids);
  });
});
