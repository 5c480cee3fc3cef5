import type { Partition } from '../../libs/redis-reconcile/src/partitions/partition.js';
import { freshService } from './support/instance.js';
import { useByHand } from './support/partition-by-hand.js';

const LONG_MS = 600_000;
/** More commands than any script has for a few hand-offs. */
const MOST_COMMANDS = 60;
const ROUNDS = 20;
const RULES = { minIdleMs: 0, maxRetries: 3, maxNeverLeased: 10, cap: 100, mode: 'idle' } as const;

/** `before`: what must be there first; its result goes to `act`, the transition that breaks off. */
interface Transition<Context = unknown> {
  readonly name: string;
  /** Names of data streams, in the order of their hand-offs; the ids are `h0`, `h1`, ... */
  readonly handoffs: readonly string[];
  readonly before: (partition: Partition) => Promise<Context>;
  readonly act: (partition: Partition, context: Context) => Promise<unknown>;
  /** Hand-offs that may be over afterwards without anybody else having had them. */
  readonly ends?: readonly string[];
}

describe('a script that breaks off between any two of its commands', () => {
  const { redis, hand } = useByHand();

  const claim = (id: string, dataStream: string, consumer = 'owner') => ({
    id,
    dataStream,
    token: `${consumer}-${id}`,
  });
  const readAll = (partition: Partition) => hand.read(partition, 'owner');
  const acquireAll = async (partition: Partition) => {
    const entries = await hand.read(partition, 'owner');
    const claims = entries.map(({ id, dataStream }) => claim(id, dataStream));
    const outcomes = await partition.acquire('owner', LONG_MS, claims);
    return claims.filter((_, i) => outcomes[i]?.outcome === 'granted');
  };
  const orphanAll = async (partition: Partition) => {
    const owned = await acquireAll(partition);
    await redis.del(owned.map(({ dataStream }) => partition.keys.lease(dataStream)));
    return owned.map(({ id, dataStream }) => ({ id, dataStream, poison: '' }));
  };
  const heldAndOver = async (partition: Partition) => {
    const owned = await acquireAll(partition);
    for (const { dataStream, token } of owned)
      await partition.hold(dataStream, token, { delayMs: LONG_MS, error: 'no', maxRetries: 3, cap: 100 });
    await redis.del(owned.map(({ dataStream }) => partition.keys.lease(dataStream)));
    return owned.map(({ id, dataStream }) => ({ id, dataStream, poison: '' }));
  };
  type Owned = Awaited<ReturnType<typeof acquireAll>>;
  type Orphans = Awaited<ReturnType<typeof orphanAll>>;
  const first = ([one]: Owned) => one ?? claim('', '');

  const TRANSITIONS: readonly Transition[] = [
    transition({
      name: 'acquire, with one that has to wait',
      handoffs: ['a', 'b', 'a'],
      before: readAll,
      act: (partition, entries) =>
        partition.acquire(
          'owner',
          LONG_MS,
          entries.map(({ id, dataStream }) => claim(id, dataStream)),
        ),
    }),
    transition({
      name: 'acquire, where an entry was deleted meanwhile',
      handoffs: ['a', 'a', 'b'],
      before: async (partition) => {
        const entries = await readAll(partition);
        await redis.xdel(partition.keys.stream, entries[0]?.id ?? '');
        return entries;
      },
      act: (partition, entries) =>
        partition.acquire(
          'owner',
          LONG_MS,
          entries.map(({ id, dataStream }) => claim(id, dataStream)),
        ),
      ends: ['h0'],
    }),
    transition({
      name: 'done, of two at once, one with another that waits',
      handoffs: ['a', 'b', 'a'],
      before: acquireAll,
      act: (partition, owned) => partition.done(owned.map((one) => ({ ...one, isRetry: false }))),
      ends: ['h0', 'h1'],
    }),
    transition({
      name: 'hand back, with another that waits',
      handoffs: ['a', 'a'],
      before: acquireAll,
      act: (partition, owned) => partition.handBack('a', first(owned).token, false, 'test'),
    }),
    transition({
      name: 'hold',
      handoffs: ['a', 'a'],
      before: acquireAll,
      act: (partition, owned) =>
        partition.hold('a', first(owned).token, { delayMs: LONG_MS, error: 'no', maxRetries: 3, cap: 100 }),
    }),
    transition({
      name: 'refuse for the last time, with another that waits',
      handoffs: ['a', 'a'],
      before: acquireAll,
      act: (partition, owned) =>
        partition.hold('a', first(owned).token, { delayMs: LONG_MS, error: 'no', maxRetries: 0, cap: 100 }),
    }),
    transition({
      name: 'raise a fence',
      handoffs: ['a'],
      before: acquireAll,
      act: (partition, owned) => partition.raiseFence('a', first(owned).token, 2 ** 52, 1),
    }),
    transition({
      name: 'renew',
      handoffs: ['a', 'b'],
      before: acquireAll,
      act: (partition, owned) => partition.renew(LONG_MS, owned, LONG_MS),
    }),
    transition({
      name: 'requeue what the dead left, with another that waits',
      handoffs: ['a', 'b', 'a'],
      before: orphanAll,
      act: (partition, orphans: Orphans) => partition.reconcile(RULES, orphans),
    }),
    transition({
      name: 'requeue after a hold',
      handoffs: ['a', 'a'],
      before: heldAndOver,
      act: (partition, orphans: Orphans) => partition.reconcile(RULES, orphans),
    }),
    transition({
      name: 'requeue what was never leased',
      handoffs: ['a', 'b'],
      before: readAll,
      act: (partition, entries) =>
        partition.reconcile(
          RULES,
          entries.map(({ id, dataStream }) => ({ id, dataStream, poison: '' })),
        ),
    }),
    transition({
      name: 'give up what the dead left, with another that waits',
      handoffs: ['a', 'a'],
      before: orphanAll,
      act: (partition, orphans: Orphans) => partition.reconcile({ ...RULES, maxRetries: 0 }, orphans),
    }),
    transition({
      name: 'give up what was read and lost too often',
      handoffs: ['a'],
      before: readAll,
      act: (partition, entries) =>
        partition.reconcile(
          { ...RULES, maxNeverLeased: 0 },
          entries.map(({ id, dataStream }) => ({ id, dataStream, poison: '' })),
        ),
    }),
    transition({
      name: 'give up what cannot be read',
      handoffs: ['a', 'b'],
      before: readAll,
      act: (partition, entries) =>
        partition.reconcile(
          RULES,
          entries.map(({ id, dataStream }) => ({ id, dataStream, poison: 'unparseable: test' })),
        ),
    }),
    transition({
      name: 'free a data stream whose entry was deleted',
      handoffs: ['a', 'a'],
      before: async (partition) => {
        const owned = await orphanAll(partition);
        await redis.xdel(partition.keys.stream, first(owned as never).id);
      },
      act: (partition) => partition.mend(['a']),
      ends: ['h0'],
    }),
    transition({
      name: 'forget a consumer',
      handoffs: ['a'],
      before: acquireAll,
      act: (partition) => partition.forgetConsumers(0, 'owner'),
    }),
  ];

  it.each(TRANSITIONS)('loses nothing and leaves nothing behind: $name', async (one) => {
    let cut = 0;
    for (; cut < MOST_COMMANDS; cut++) if (await breakOff(one, cut)) break;
    // The last one was not cut any more: all before it were.
    expect(cut).toBeGreaterThan(0);
    expect(cut).toBeLessThan(MOST_COMMANDS);
  });

  it('loses nothing: produce', async () => {
    for (let cut = 0; cut < 4; cut++) {
      const partition = hand.partition(freshService());
      const dedupe = { key: partition.keys.dedupe('a', 'once'), windowMs: LONG_MS };
      const add = (where: Partition) => where.produce('h0', ['id', 'h0', 'stream', 'a'], dedupe);
      await add(hand.breakingOff(partition, cut)).catch(() => undefined);
      // The caller was told that it failed, and tries again.
      await add(partition);
      expect(await redis.xlen(partition.keys.stream)).toBeGreaterThanOrEqual(1);
      await forgetAll(partition);
    }
  });

  /** True: the script had no command left to be cut off from. */
  async function breakOff({ handoffs, before, act, ends = [] }: Transition, cut: number): Promise<boolean> {
    const partition = hand.partition(freshService());
    await partition.createOwnersGroup();
    for (const [i, dataStream] of handoffs.entries())
      await redis.xadd(partition.keys.stream, '*', 'id', `h${i}`, 'stream', dataStream);
    const context = await before(partition);
    const answer = await act(hand.breakingOff(partition, cut), context).catch((error: unknown) => error);
    const isWhole = !wasBrokenOff(answer);
    const over = new Set([...(await workOff(partition)), ...ends]);
    const { items, left } = await whatIsLeft(partition);
    for (const id of items) over.add(id);
    expect({ cut, lost: handoffs.map((_, i) => `h${i}`).filter((id) => !over.has(id)), left }).toEqual({
      cut,
      lost: [],
      left: { queued: 0, pending: 0, waiting: 0, held: 0, owned: 0, lists: 0 },
    });
    await forgetAll(partition);
    return isWhole;
  }

  /** All leases lapse, scanners look, and somebody healthy finishes everything: the ids that came to its hands. */
  async function workOff(partition: Partition): Promise<string[]> {
    const { keys } = partition;
    const handled: string[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const names = [...(await redis.hkeys(keys.owned)), ...(await redis.hkeys(keys.waitingIndex))];
      if (names.length > 0) await redis.del(names.map((name) => keys.lease(name)));
      const found = await partition.scan(0, undefined, 100);
      await partition.reconcile(
        RULES,
        found.map(({ id, dataStream }) => ({ id, dataStream, poison: '' })),
      );
      await partition.mend([...new Set(names)]);
      const entries = await hand.read(partition, 'healthy');
      if (entries.length === 0 && names.length === 0 && found.length === 0) break;
      if (entries.length === 0) continue;
      const claims = entries.map((entry) => ({
        ...claim(entry.id, entry.dataStream, 'healthy'),
        handoffId: entry.handoffId,
      }));
      const outcomes = await partition.acquire('healthy', LONG_MS, claims);
      const owned = claims.filter((_, i) => outcomes[i]?.outcome === 'granted');
      handled.push(...owned.map(({ handoffId }) => handoffId));
      if (owned.length > 0) await partition.done(owned.map((one) => ({ ...one, isRetry: false })));
    }
    return handled;
  }

  async function whatIsLeft(partition: Partition) {
    const { keys } = partition;
    const { queued, pending, waiting, held } = await partition.stats();
    const dead = await redis.xrange(keys.deadLetters, '-', '+');
    const lists = await Promise.all(['a', 'b'].map((name) => redis.llen(keys.waiting(name))));
    return {
      items: dead.map(([, fields]) => fields[fields.indexOf('id') + 1] ?? ''),
      left: {
        queued,
        pending,
        waiting,
        held,
        owned: await redis.hlen(keys.owned),
        lists: lists.reduce((sum, one) => sum + one, 0),
      },
    };
  }

  async function forgetAll({ keys }: Partition): Promise<void> {
    const names = ['a', 'b'].flatMap((name) => [keys.lease(name), keys.waiting(name)]);
    await redis.unlink(...keys.fixed, ...names);
  }
});

/** The call was, or the answer for one of several in it. */
function wasBrokenOff(answer: unknown): boolean {
  if (Array.isArray(answer)) return answer.some(wasBrokenOff);
  const { message, error } = (answer ?? {}) as { readonly message?: unknown; readonly error?: unknown };
  return String(message).includes('broken off') || (error !== undefined && wasBrokenOff(error));
}

/** Keeps what `before` returns and what `act` takes together, each with a type of its own. */
function transition<Context>(one: Transition<Context>): Transition {
  return one as Transition;
}
