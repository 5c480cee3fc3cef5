import type { Redis } from 'ioredis';
import type { Partition } from '../../../libs/redis-reconcile/src/partitions/partition.js';
import type { ReconcileRules } from '../../../libs/redis-reconcile/src/scripts/recovery/reconcile.js';
import { freshService } from './instance.js';
import type { ByHand } from './partition-by-hand.js';

/** What the four do, each in this order: between any two steps of one, any of the others may act. */
const ACTORS = {
  owner: ['renew', 'renew', 'word'],
  time: ['lapse'],
  scanner: ['look', 'act'],
  successor: ['read', 'acquire'],
} as const;
type Step = (typeof ACTORS)[keyof typeof ACTORS][number];
const WORDS = ['done', 'handBack', 'hold'] as const;
type Word = (typeof WORDS)[number];
const MODES = ['idle', 'lapsed'] as const;
type Mode = ReconcileRules['mode'];

/** Played side by side. */
const AT_ONCE = 100;
const LONG_MS = 600_000;
const NAME = 'work';

/** Every order of all steps that keeps each actor's own: 8! / (3! 1! 2! 2!) = 1 680. */
function interleavings(rest: readonly (readonly Step[])[] = Object.values(ACTORS)): Step[][] {
  if (rest.every((steps) => steps.length === 0)) return [[]];
  return rest.flatMap(([first, ...others], i) =>
    first === undefined ? [] : interleavings(rest.with(i, others)).map((following) => [first, ...following]),
  );
}

/** The rules of the page "how it works", in a few lines: what each step must answer, and what must be there afterwards. */
class Rules {
  /** The hand-off: each requeue makes a new entry of it. */
  private entry: number | undefined = 0;
  private state: 'queued' | 'read' | 'owned' | 'held' | 'ended' = 'owned';
  private owner: 'owner' | 'successor' = 'owner';
  private isLeased = true;
  private seen: number | undefined;
  private mine: number | undefined;

  constructor(
    private readonly word: Word,
    private readonly mode: Mode,
  ) {}

  answer(step: Step): unknown {
    const isOwners = this.state === 'owned' && this.owner === 'owner';
    switch (step) {
      case 'renew':
        return isOwners ? (this.isLeased ? 1 : 2) : 0;
      case 'lapse':
        return void (this.isLeased = false);
      case 'word':
        return this.lastWord(isOwners);
      case 'look':
        return void (this.seen = this.isSeen ? this.entry : undefined);
      case 'act':
        return this.act();
      case 'read':
        if (this.state !== 'queued') return [];
        this.mine = this.entry;
        this.state = 'read';
        return ['read'];
      case 'acquire':
        if (this.mine === undefined) return undefined;
        if (this.mine !== this.entry || this.state !== 'read') return 'gone';
        Object.assign(this, { state: 'owned', owner: 'successor', isLeased: true });
        return 'granted';
    }
  }

  get counts() {
    return {
      queued: Number(this.state === 'queued'),
      pending: Number(this.state === 'read' || this.state === 'owned' || this.state === 'held'),
      held: Number(this.state === 'held'),
    };
  }

  /** The scan looks at pending entries, the ear for expiries at records. */
  private get isSeen(): boolean {
    return this.state === 'owned' || this.state === 'held' || (this.mode === 'idle' && this.state === 'read');
  }

  private lastWord(isOwners: boolean): string {
    if (!isOwners) return 'lost';
    if (this.word === 'hold') {
      this.state = 'held';
      this.isLeased = true;
      return 'held';
    }
    if (this.word === 'handBack') this.requeue();
    else this.state = 'ended';
    return 'now';
  }

  private act(): string | undefined {
    if (this.seen === undefined) return undefined;
    if (this.seen !== this.entry || this.state === 'ended' || this.state === 'queued') return 'lost';
    if (this.state === 'read') return this.requeue();
    return this.isLeased ? 'alive' : this.requeue();
  }

  private requeue(): string {
    this.state = 'queued';
    this.entry = (this.entry ?? 0) + 1;
    return 'requeued';
  }
}

export interface Interleaving {
  readonly mode: Mode;
  readonly word: Word;
  readonly steps: readonly Step[];
}

/** 10 080: every order, for each last word of the owner's and for both ways to find an orphan. */
export function allInterleavings(): Interleaving[] {
  return MODES.flatMap((mode) => WORDS.flatMap((word) => interleavings().map((steps) => ({ mode, word, steps }))));
}

/** Plays them against the real scripts, each on a partition of its own. Returns what went otherwise than the rules say: nothing. */
export async function playInterleavings(hand: ByHand, cases: readonly Interleaving[]): Promise<unknown[]> {
  const service = freshService();
  const wrong: unknown[] = [];
  for (let from = 0; from < cases.length; from += AT_ONCE) {
    const some = cases.slice(from, from + AT_ONCE);
    wrong.push(...(await Promise.all(some.map((one, i) => play(hand.redis, hand.partition(service, from + i), one)))));
  }
  return wrong.filter((one) => one !== undefined);
}

async function play(redis: Redis, partition: Partition, { steps, word, mode }: Interleaving): Promise<unknown> {
  const { keys } = partition;
  const rules = new Rules(word, mode);
  const [id, fence] = await ownedByOwner(redis, partition);
  const told: unknown[] = [];
  const expected: unknown[] = [];
  const actors = actorsOf(redis, partition, id, word, mode, fence);
  for (const step of steps) {
    told.push(await actors[step]());
    expected.push(rules.answer(step));
  }
  const { queued, pending, held, waiting, dead } = await partition.stats();
  const counts = { queued, pending, held };
  await redis.unlink(keys.stream, keys.owned, keys.fence, keys.revoked, keys.lease(NAME));
  const isRight = JSON.stringify([told, counts, waiting, dead]) === JSON.stringify([expected, rules.counts, 0, 0]);
  return isRight ? undefined : { steps, word, mode, told, expected, counts, expectedCounts: rules.counts };
}

async function ownedByOwner(redis: Redis, partition: Partition): Promise<readonly [id: string, fence: number]> {
  const { stream } = partition.keys;
  const [, id] = (await redis
    .pipeline()
    .xgroup('CREATE', stream, 'owners', '0', 'MKSTREAM')
    .xadd(stream, '*', 'stream', NAME)
    .call('XREADGROUP', 'GROUP', 'owners', 'owner', 'STREAMS', stream, '>')
    .exec()) as [unknown, [unknown, string]];
  const [outcome] = await partition.acquire('owner', LONG_MS, [{ id: id[1], dataStream: NAME, token: 'owner' }]);
  return [id[1], outcome?.outcome === 'granted' ? outcome.fence : NaN];
}

function actorsOf(
  redis: Redis,
  partition: Partition,
  id: string,
  word: Word,
  mode: Mode,
  fence: number,
): Readonly<Record<Step, () => Promise<unknown>>> {
  const { keys } = partition;
  const rules = { minIdleMs: 0, maxRetries: 10, maxNeverLeased: 10, cap: 0, mode };
  let candidates: { id: string; dataStream: string; poison: string }[] = [];
  let read: string | undefined;
  const lookAtPending = async () =>
    (await partition.scan(0, undefined, 10)).map((one) => ({ id: one.id, dataStream: NAME, poison: '' }));
  const lookAtRecords = async () => {
    const record = await redis.hget(keys.owned, NAME);
    const entry = record === null ? undefined : (JSON.parse(record) as { id: string }).id;
    return entry === undefined ? [] : [{ id: entry, dataStream: NAME, poison: '' }];
  };
  return {
    renew: async () => (await partition.renew(LONG_MS, [{ dataStream: NAME, token: 'owner' }], 60_000))[0],
    lapse: async () => void (await redis.del(keys.lease(NAME))),
    word: async () => {
      if (word === 'done') return (await partition.done([{ dataStream: NAME, id, token: 'owner', isRetry: false }]))[0];
      if (word === 'handBack') return partition.handBack(NAME, 'owner', false, 'test');
      const hold = { delayMs: LONG_MS, error: 'test', maxRetries: 10, cap: 0 };
      return (await partition.hold(NAME, 'owner', hold)).outcome;
    },
    look: async () => void (candidates = await (mode === 'idle' ? lookAtPending() : lookAtRecords())),
    act: async () => (await partition.reconcile(rules, candidates))[0]?.what,
    read: async () => {
      const reply = (await redis.call(
        'XREADGROUP',
        ...['GROUP', 'owners', 'successor', 'COUNT', 1, 'STREAMS', keys.stream, '>'],
      )) as [string, [string, string[]][]][] | null;
      read = reply?.[0]?.[1][0]?.[0];
      return read === undefined ? [] : ['read'];
    },
    acquire: async () => {
      if (read === undefined) return undefined;
      const claim = { id: read, dataStream: NAME, token: 'successor' };
      const [outcome] = await partition.acquire('successor', LONG_MS, [claim]);
      // Whoever comes later has the higher fence.
      if (outcome?.outcome === 'granted' && !(outcome.fence > fence)) return `fence ${outcome.fence} after ${fence}`;
      return outcome?.outcome;
    },
  };
}
