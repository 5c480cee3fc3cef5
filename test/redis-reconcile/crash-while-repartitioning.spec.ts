import { Gate, sharedRedisUrl, waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { HookedRedis } from './support/hooked-redis.js';
import { freshService, keysOf, openRedis, ownAsGhost, startInstance } from './support/instance.js';
import { keysLeft, OneOwner, repartitionWhole } from './support/watching/one-owner.js';

const FROM = 2;
const TO = 3;
/** More commands than the whole change takes. */
const MOST = 200;
const AT_A_TIME = 12;
/** From here on one of so many: the rounds of a drain are alike. */
const ALIKE = { from: 36, step: 3 };
const OPTIONS = { commandTimeout: '5s', recovery: { maxRetries: 2 } } as const;

/**
 * The process that changes the number of partitions "dies" after its n-th command, for every n until it comes to its end: nothing that it would
 * have sent arrives. Another process then calls again.
 */
describe('a process that dies while it changes the number of partitions', () => {
  let redis: Redis;
  beforeAll(() => {
    redis = openRedis();
  });
  afterAll(() => redis.disconnect());

  it('leaves nothing lost and nothing owned twice, wherever that is', async () => {
    let isWhole = false;
    const deaths = Array.from({ length: MOST }, (_, n) => n).filter((n) => n < ALIKE.from || n % ALIKE.step === 0);
    for (let i = 0; i < deaths.length && !isWhole; i += AT_A_TIME) {
      const ends = await Promise.all(deaths.slice(i, i + AT_A_TIME).map((n) => live(n)));
      isWhole = ends.includes(true);
    }
    // The last ones came to their end: all deaths before that were tried.
    expect(isWhole).toBe(true);
  });

  /** True: it did not die. */
  async function live(n: number): Promise<boolean> {
    const service = freshService();
    const gate = new Gate();
    const one = new OneOwner();
    const before = { partitions: FROM, ...OPTIONS };
    const operator = await startInstance({ service, options: before });
    const ids = [await operator.service.produce('orphan')];
    for (let p = 0; p < FROM; p++) await ownAsGhost(redis, service, 1, 0, keysOf(service, p, FROM));
    const owner = await startInstance({
      service,
      options: { ...before, recovery: { interval: '1h' } },
      handle: async (handoff) => {
        if (handoff.dataStream === 'dead') throw new Error('never');
        await one.watch(handoff, () => gate.pass());
      },
      concurrency: 6,
    });
    const dead = await operator.service.produce('dead');
    await operator.service.produce('busy').then((id) => ids.push(id));
    await gate.arrived();
    await operator.service.produce('busy').then((id) => ids.push(id));
    await waitFor(async () => (await operator.service.stats()).waiting === 1, {
      description: 'the second to wait',
      timeoutMs: 60_000,
    });
    const death = dieAfter(n);
    const connection = { instance: new HookedRedis(sharedRedisUrl(), death.hook) };
    const dying = await startInstance({ service, options: { ...before, connection } });
    for (const name of ['x', 'y', 'z', 'u', 'v', 'w'])
      await operator.service.produce(name, { dedupeId: name }).then((id) => ids.push(id));
    death.arm();
    const isWhole = await dying.service.repartition(TO).then(
      () => true,
      () => false,
    );
    await expectNotSplit(service);
    await operator.service.repartition(TO);
    const after = await startInstance({
      service,
      options: { ...OPTIONS, partitions: TO },
      handle: async (handoff) => {
        if (handoff.dataStream === 'dead') throw new Error('never');
        await one.watch(handoff, async () => undefined);
      },
    });
    ids.push(await after.service.produce('busy'));
    // A second call with the id that was used before adds nothing.
    expect(ids).toContain(await after.service.produce('x', { dedupeId: 'x' }));
    const others = () => ids.filter((id) => !one.finished.includes(id)).length;
    gate.open();
    await waitFor(async () => others() === 0 && (await after.service.deadLetters.get(dead)) !== undefined, {
      description: `all to end after a death at command ${n}`,
      timeoutMs: 60_000,
    });
    await repartitionWhole(operator, TO);
    // What was moved twice, since nobody knew that it had arrived, was added once.
    expect({ n, finished: one.finished.toSorted(), problems: one.problems }).toEqual({
      n,
      finished: ids.toSorted(),
      problems: [],
    });
    expect(await after.service.stats()).toMatchObject({ queued: 0, pending: 0, waiting: 0, dead: 1 });
    await Promise.all([operator, owner, after, dying].map((instance) => instance.close()));
    expect(await keysLeft(redis, service, FROM)).toEqual([]);
    return isWhole;
  }

  /** Work goes on under the one number or under the other. */
  async function expectNotSplit(service: string): Promise<void> {
    const layouts = await redis.mget(
      ...Array.from({ length: FROM }, (_, p) => `{${service}:${p}/${FROM}}:layout`),
      ...Array.from({ length: TO }, (_, p) => `{${service}:${p}/${TO}}:layout`),
    );
    const isOpen = (text: string | null) => text === null || text.startsWith('open');
    const [old, fresh] = [layouts.slice(0, FROM), layouts.slice(FROM)];
    if (fresh.some((text) => text !== null && isOpen(text))) expect(old.every((text) => !isOpen(text))).toBe(true);
  }
});

function dieAfter(n: number) {
  let sent = 0;
  let isArmed = false;
  const hook = (name: string): Error | undefined => {
    if (!isArmed || name === 'client' || name === 'info' || name === 'ping') return undefined;
    if (++sent <= n) return undefined;
    return new Error('this process is dead');
  };
  return { hook, arm: () => void (isArmed = true) };
}
