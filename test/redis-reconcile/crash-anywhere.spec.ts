import type { Handoff } from '@nest-baton/redis-reconcile';
import { sharedRedisUrl, waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { setTimeout as sleep } from 'node:timers/promises';
import { HookedRedis } from './support/hooked-redis.js';
import { freshService, type Instance, keysOf, openRedis, startInstance } from './support/instance.js';

/** Commands that one start, a few hand-offs and a shutdown take, and some more. */
const LAST = 60;
const AT_A_TIME = 20;
/** Each goes another way: done at once, refused first, waiting for another, given up and told of, handed back, unfinished at shutdown. */
const HANDOFFS = ['plain', 'refused', 'twice', 'twice', 'hopeless', 'released', 'unfinished'];
/** The victim shuts down when it has worked for this long, unless it is dead by then. */
const LIFE_MS = 700;
const OPTIONS = { shutdownTimeout: 100, recovery: { maxRetries: 2 } } as const;

/**
 * The process "dies" after its n-th command: from then on nothing that it sends arrives. `lostAnswer`: the n-th itself arrives, and its answer does not.
 * What is there then must add up; another one, alive, then ends the story.
 */
describe.each([['before a command', false] as const, ['between a command and its answer', true] as const])(
  'a worker that dies %s',
  (_when, isAnswerLost) => {
    let redis: Redis;
    beforeAll(() => {
      redis = openRedis();
    });
    afterAll(() => redis.disconnect());

    it('loses nothing, wherever that is: added = done + dead + pending + waiting + queued, then done + dead', async () => {
      for (let n = 0; n < LAST; n += AT_A_TIME)
        await Promise.all(Array.from({ length: AT_A_TIME }, (_, i) => live(n + i)));
    });

    async function live(n: number): Promise<void> {
      const service = freshService();
      const producer = await startInstance({ service });
      const ids: string[] = [];
      for (const name of HANDOFFS) ids.push(await producer.service.produce(name, { info: name }));
      const finished: string[] = [];
      const told: string[] = [];
      const death = dieAfter(n, isAnswerLost);
      const victim = new HookedRedis(sharedRedisUrl(), death.hook);
      const connection = { instance: victim };
      const dying: Instance | undefined = await startInstance({
        service,
        options: { ...OPTIONS, commandTimeout: 300, connection },
        handle: async (handoff) => {
          if (handoff.dataStream === 'unfinished') await new Promise(() => undefined);
          // The application's own shutdown may come first.
          if (handoff.dataStream === 'released' && handoff.attempt === 1) return dying?.service.release(handoff);
          await finish(handoff, finished);
        },
        onDeadLetter: async ({ handoffId }) => void told.push(handoffId),
      }).catch(() => undefined);
      await Promise.race([death.died, sleep(LIFE_MS)]);
      const closed = dying?.close();
      await Promise.race([death.died, closed]);
      // What was on its way arrives.
      await sleep(50);
      await expectToAddUp(service, producer, ids, finished, n);
      const survivor = await startInstance({
        service,
        options: { ...OPTIONS, commandTimeout: '5s' },
        handle: (handoff) => finish(handoff, finished),
        onDeadLetter: async ({ handoffId }) => void told.push(handoffId),
      });
      const { items } = await untilOver(survivor, n);
      // An entry that left Redis without a handler that finished it, and without a dead letter, was lost.
      const ended = new Set([...finished, ...items.map(({ handoffId }) => handoffId)]);
      expect(ids.filter((id) => !ended.has(id))).toEqual([]);
      expect(items.map(({ handoffId }) => handoffId)).toEqual([ids[HANDOFFS.indexOf('hopeless')]]);
      expect(new Set(told)).toEqual(new Set(items.map(({ handoffId }) => handoffId)));
      expect(await redis.hlen(keysOf(service).owned)).toBe(0);
      await Promise.all([producer.close(), survivor.close(), closed]);
    }

    async function expectToAddUp(
      service: string,
      producer: Instance,
      ids: readonly string[],
      finished: readonly string[],
      n: number,
    ): Promise<void> {
      const keys = keysOf(service);
      const { queued, pending, waiting, dead } = await producer.service.stats();
      const entries = [...(await redis.xrange(keys.stream, '-', '+')), ...(await redis.xrange(keys.dlq, '-', '+'))];
      const listed = (await redis.lrange(keys.waiting('twice'), 0, -1)).join(' ');
      const there = ids.filter((id) => listed.includes(id) || entries.some(([, fields]) => fields.includes(id)));
      const gone = ids.filter((id) => !there.includes(id));
      expect({ n, added: queued + pending + waiting + dead + gone.length }).toEqual({ n, added: ids.length });
      expect(gone.filter((id) => !finished.includes(id))).toEqual([]);
    }
  },
);

async function untilOver({ service }: Instance, n: number) {
  await waitFor(
    async () => {
      const { queued, pending, waiting } = await service.stats();
      if (queued + pending + waiting > 0) return false;
      return (await service.deadLetters.list()).items.every(({ isHandled }) => isHandled);
    },
    { description: `everything ended after a death at command ${n}`, timeoutMs: 30_000 },
  );
  return service.deadLetters.list();
}

async function finish({ dataStream, attempt, handoffId }: Handoff, finished: string[]): Promise<void> {
  if (dataStream === 'hopeless') throw new Error('never');
  if (dataStream === 'refused' && attempt === 1) throw new Error('not yet');
  finished.push(handoffId);
}

function dieAfter(n: number, isAnswerLost: boolean) {
  let sent = 0;
  let die: () => void = () => undefined;
  const died = new Promise<void>((resolve) => (die = resolve));
  const hook = (name: string, _args: readonly unknown[], connection: Redis): Error | undefined => {
    // The handshake of a new connection is the driver's, not a step of ours.
    if (name === 'client' || name === 'info' || name === 'ping') return undefined;
    if (++sent <= n) return undefined;
    die();
    if (sent === n + 1 && isAnswerLost) {
      setImmediate(() => connection.stream.destroy());
      return undefined;
    }
    return new Error('this process is dead');
  };
  return { hook, died };
}
