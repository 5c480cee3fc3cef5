import type { Handoff } from '@nest-baton/redis-reconcile';
import { sharedRedisUrl, waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { HookedRedis } from './support/hooked-redis.js';
import { freshService, keysOf, openRedis, startInstance } from './support/instance.js';

/** Commands that one start, a few hand-offs and a shutdown take, and some more. */
const LAST = 45;
const AT_A_TIME = 15;
const HANDOFFS = ['plain', 'refused', 'twice', 'twice', 'hopeless'];

/**
 * The process "dies" after its n-th command: from then on nothing that it sends arrives. `lostAnswer`: the n-th itself arrives, and its answer does not.
 * Another one, alive, then ends the story; counting what came out tells whether anything was lost on the way.
 */
describe.each([['before a command', false] as const, ['between a command and its answer', true] as const])(
  'a worker that dies %s',
  (_when, isAnswerLost) => {
    let redis: Redis;
    beforeAll(() => {
      redis = openRedis();
    });
    afterAll(() => redis.disconnect());

    it('loses nothing, wherever that is: added = done + dead', async () => {
      for (let n = 0; n < LAST; n += AT_A_TIME)
        await Promise.all(Array.from({ length: AT_A_TIME }, (_, i) => live(n + i)));
    });

    async function live(n: number): Promise<void> {
      const service = freshService();
      const producer = await startInstance({ service });
      const ids = new Set<string>();
      for (const name of HANDOFFS) ids.add(await producer.service.produce(name, { info: name }));
      const victim = new HookedRedis(sharedRedisUrl(), dieAfter(n, isAnswerLost));
      const options = { shutdownTimeout: 100, recovery: { maxRetries: 2 } } as const;
      const finished: string[] = [];
      const handle = async (handoff: Handoff) => {
        await refuseFirst(handoff);
        finished.push(handoff.handoffId);
      };
      const dying = await startInstance({
        service,
        options: { ...options, commandTimeout: 300, connection: { instance: victim } },
        handle,
      }).catch(() => undefined);
      const survivor = await startInstance({
        service,
        options: { ...options, commandTimeout: '5s' },
        handle,
      });
      await waitFor(
        async () => {
          const { queued, pending, waiting } = await survivor.service.stats();
          return queued + pending + waiting === 0;
        },
        { description: `everything ended after a death at command ${n}`, timeoutMs: 20_000 },
      );
      const { items } = await survivor.service.deadLetters.list();
      // An entry that left Redis without a handler that finished it, and without a dead letter, was lost.
      const ended = new Set([...finished, ...items.map(({ handoffId }) => handoffId)]);
      expect([...ids].filter((id) => !ended.has(id))).toEqual([]);
      expect(items.length).toBeLessThanOrEqual(1);
      expect(await redis.hlen(keysOf(service).owned)).toBe(0);
      await Promise.all([producer.close(), survivor.close(), dying?.close()]);
    }
  },
);

async function refuseFirst({ dataStream, attempt }: { dataStream: string; attempt: number }): Promise<void> {
  if (dataStream === 'hopeless') throw new Error('never');
  if (dataStream === 'refused' && attempt === 1) throw new Error('not yet');
}

function dieAfter(n: number, isAnswerLost: boolean) {
  let sent = 0;
  return (name: string, _args: readonly unknown[], connection: Redis): Error | undefined => {
    // The handshake of a new connection is the driver's, not a step of ours.
    if (name === 'client' || name === 'info' || name === 'ping') return undefined;
    if (++sent <= n) return undefined;
    if (sent === n + 1 && isAnswerLost) {
      setImmediate(() => connection.stream.destroy());
      return undefined;
    }
    return new Error('this process is dead');
  };
}
