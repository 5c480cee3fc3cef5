import type { Handoff } from '@nest-baton/redis-reconcile';
import { waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { HookedRedis } from './support/hooked-redis.js';
import { freshService, startInstances } from './support/instance.js';
import { useOwnRedis } from './support/own-redis.js';

describe('a read that fails', () => {
  const start = startInstances();
  const own = useOwnRedis();

  const startSeeing = async (connection?: { instance: Redis }) => {
    const seen: Handoff[] = [];
    const service = freshService();
    const options = connection === undefined ? {} : { connection };
    const handle = async (handoff: Handoff) => void seen.push(handoff);
    return { seen, instance: await start({ url: own.server.url, service, options, handle }) };
  };
  const clients = async (): Promise<string[]> => ((await own.redis.client('LIST')) as string).split('\n');
  const parked = async () =>
    (await clients()).find((line) => line.includes('cmd=xreadgroup') && line.includes('flags=b'));

  it('because its connection answers nothing any more is made over another one, and what was lost with it comes again uncounted', async () => {
    let wedged: Redis | undefined;
    const hooked = new HookedRedis(own.server.url, (name, args, connection) => {
      if (name === 'xreadgroup' && args.includes('BLOCK') && wedged === undefined) {
        wedged = connection;
        // The command goes out, and whatever comes back stays in the socket.
        setImmediate(() => connection.stream.pause());
      }
      return undefined;
    });
    const { seen, instance } = await startSeeing({ instance: hooked });
    await waitFor(parked, { description: 'a read is parked' });
    await instance.service.produce('swallowed');
    await waitFor(() => seen.length === 1, { description: 'it came over another connection', timeoutMs: 20_000 });
    expect(seen[0]).toMatchObject({ dataStream: 'swallowed', attempt: 1 });
    await waitFor(() => wedged?.status === 'end', { description: 'the first one is gone' });
    expect(instance.eventsOf('requeued')).toMatchObject([{ cause: 'never_leased' }]);
    await instance.service.produce('next');
    await waitFor(() => seen.length === 2, { description: 'and so does the next' });
    hooked.disconnect();
  });

  it('because somebody ended it with UNBLOCKED is made again', async () => {
    const { seen, instance } = await startSeeing();
    const line = await waitFor(parked, { description: 'a read is parked' });
    const id = Number(/\bid=(\d+)/.exec(line ?? '')?.[1]);
    expect(await own.redis.client('UNBLOCK', id, 'ERROR')).toBe(1);
    await instance.service.produce('x');
    await waitFor(() => seen.length === 1, { description: 'it was read' });
    expect(seen[0]?.attempt).toBe(1);
  });

  it('because the server takes no writes for a while (READONLY) is made again, and no attempt is counted', async () => {
    const { seen, instance } = await startSeeing();
    await instance.service.produce('before');
    await waitFor(() => instance.eventsOf('done').length === 1, { description: 'it works' });
    await own.redis.replicaof('127.0.0.1', 1);
    const dedupe = { dedupeId: 'once' };
    await expect(instance.service.produce('x', dedupe)).rejects.toMatchObject({
      code: 'REDIS_UNAVAILABLE',
      retryable: true,
    });
    await own.redis.replicaof('NO', 'ONE');
    await instance.service.produce('x', dedupe);
    await waitFor(() => seen.length === 2, { description: 'it was read', timeoutMs: 20_000 });
    expect(seen[1]).toMatchObject({ dataStream: 'x', attempt: 1 });
  });

  it('is none for scripts that the server has forgotten (NOSCRIPT): they are sent again', async () => {
    const { seen, instance } = await startSeeing();
    for (const name of ['first', 'second', 'third']) {
      await own.redis.script('FLUSH');
      await instance.service.produce(name);
      await waitFor(() => instance.eventsOf('done').length === seen.length && seen.at(-1)?.dataStream === name, {
        description: `${name} was done`,
      });
    }
    expect(seen.map(({ attempt }) => attempt)).toEqual([1, 1, 1]);
  });
});
