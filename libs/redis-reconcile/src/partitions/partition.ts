import type { RedisCommander } from 'ioredis';
import { typedReply } from '../connecting/typed-reply.js';
import type { RedisLink } from '../connecting/redis-link.js';
import { PURGE } from '../scripts/dead-letters/purge.js';
import { REDRIVE } from '../scripts/dead-letters/redrive.js';
import { ACQUIRE } from '../scripts/owner/acquire.js';
import { DONE } from '../scripts/owner/done.js';
import { HAND_BACK } from '../scripts/owner/hand-back.js';
import { HOLD } from '../scripts/owner/hold.js';
import { RAISE_FENCE } from '../scripts/owner/raise-fence.js';
import { RENEW } from '../scripts/owner/renew.js';
import { PRODUCE } from '../scripts/produce.js';
import { FORGET_CONSUMERS } from '../scripts/recovery/forget-consumers.js';
import { HELD } from '../scripts/recovery/held.js';
import { MEND } from '../scripts/recovery/mend.js';
import { type Candidate, RECONCILE, type Reconciled, type ReconcileRules } from '../scripts/recovery/reconcile.js';
import { SCAN } from '../scripts/recovery/scan.js';
import { STRAYS } from '../scripts/recovery/strays.js';
import { STATS } from '../scripts/recovery/stats.js';
import { HANDLERS_GROUP, OWNERS_GROUP, type Script } from '../scripts/script.js';
import type { PartitionKeys } from './partition-keys.js';

export type Acquired =
  | { readonly outcome: 'granted'; readonly fence: number }
  | { readonly outcome: 'gone' | 'owned' | 'waiting' }
  | { readonly outcome: 'failed'; readonly error: Error };

export type Held =
  | { readonly outcome: 'held' | 'lost' }
  | { readonly outcome: 'buried'; readonly fence: number; readonly attempts: number };

/** Sends a script over a connection of the caller's, by its hash where the server knows it. */
export type Send = (redis: RedisCommander, isKnown: boolean) => Promise<unknown>;

/** What an owner's last word came to. `earlier`: a call whose answer was lost had arrived. */
export type Settled = 'now' | 'earlier' | 'lost';

/** Consumers that one script removes from a group. */
const MAX_FORGOTTEN = 100;
/** Records that one script looks at. */
const HELD_PAGE = 1_000;

const SETTLED: readonly Settled[] = ['lost', 'now', 'earlier'];

/** Every transition of a partition: a method a script, with its keys declared and its answer parsed. */
export class Partition {
  constructor(
    readonly keys: PartitionKeys,
    readonly link: RedisLink,
  ) {}

  get index(): number {
    return this.keys.partition;
  }

  /** Creates the group at the start of the stream, so that entries added before the first worker are delivered. */
  async createOwnersGroup(): Promise<void> {
    await this.createGroup(this.keys.stream, OWNERS_GROUP);
  }

  /** Unless the partition is shut: then nobody is to read there. False: it was not created. */
  async restoreOwnersGroup(): Promise<boolean> {
    const layout = await this.link.call((redis) => redis.get(this.keys.layout));
    if (layout !== null && !layout.startsWith('open:')) return false;
    await this.createOwnersGroup();
    return true;
  }

  async createHandlersGroup(): Promise<void> {
    await this.createGroup(this.keys.deadLetters, HANDLERS_GROUP);
  }

  /** The handoff id that counts: an earlier one inside the dedupe window. */
  async produce(
    handoffId: string,
    fields: readonly string[],
    dedupe: { key: string; windowMs: number } | undefined,
    confirming?: (send: Send) => Promise<unknown>,
  ): Promise<string> {
    const keys = [...this.keys.fixed, dedupe?.key ?? this.keys.fence, this.keys.layout];
    const args = [handoffId, dedupe?.windowMs ?? 0, confirming === undefined ? 0 : 1, ...fields];
    if (confirming === undefined) return (await this.link.script(PRODUCE, keys, args)) as string;
    const send: Send = (redis, isKnown) =>
      isKnown
        ? redis.evalsha(PRODUCE.sha, keys.length, ...keys, ...args)
        : redis.eval(PRODUCE.text, keys.length, ...keys, ...args);
    return (await confirming(send)) as string;
  }

  async acquire(
    consumer: string,
    leaseMs: number,
    entries: readonly { readonly id: string; readonly dataStream: string; readonly token: string }[],
  ): Promise<Acquired[]> {
    const keys: string[] = [];
    const args: string[] = [];
    for (const { id, dataStream, token } of entries) {
      keys.push(this.keys.lease(dataStream), this.keys.waiting(dataStream));
      args.push(id, dataStream, token);
    }
    const answers = (await this.run(ACQUIRE, [...keys, this.keys.layout], [consumer, leaseMs, ...args])) as (
      string | Error
    )[];
    return answers.map(acquiredFrom);
  }

  /** 1 renewed, 0 lost, 2 lapsed, for each. */
  async renew(
    leaseMs: number,
    leases: readonly { readonly dataStream: string; readonly token: string }[],
    timeoutMs: number,
  ): Promise<number[]> {
    const keys = leases.map(({ dataStream }) => this.keys.lease(dataStream));
    const args = leases.flatMap(({ dataStream, token }) => [dataStream, token]);
    return (await this.run(RENEW, keys, [leaseMs, ...args], timeoutMs)) as number[];
  }

  /** For each what it came to, or the error that left it as it was. */
  async done(
    handoffs: readonly {
      readonly dataStream: string;
      readonly id: string;
      readonly token: string;
      readonly isRetry: boolean;
    }[],
  ): Promise<(Settled | Error)[]> {
    const keys: string[] = [];
    const args: (string | number)[] = [];
    for (const { dataStream, id, token, isRetry } of handoffs) {
      keys.push(this.keys.lease(dataStream), this.keys.waiting(dataStream));
      args.push(dataStream, id, token, isRetry ? 1 : 0);
    }
    const answers = (await this.run(DONE, keys, args)) as (number | Error)[];
    return answers.map((answer) => (typeof answer === 'number' ? (SETTLED[answer] ?? 'lost') : answer));
  }

  async handBack(dataStream: string, token: string, isRetry: boolean, reason: string): Promise<Settled> {
    const keys = [this.keys.lease(dataStream), this.keys.waiting(dataStream)];
    const answer = (await this.run(HAND_BACK, keys, [dataStream, token, isRetry ? 1 : 0, reason])) as number;
    return SETTLED[answer] ?? 'lost';
  }

  async hold(
    dataStream: string,
    token: string,
    hold: { delayMs: number; error: string; maxRetries: number; cap: number },
  ): Promise<Held> {
    const keys = [this.keys.lease(dataStream), this.keys.waiting(dataStream)];
    const delayMs = Math.max(1, Math.round(hold.delayMs));
    const args = [dataStream, token, delayMs, hold.error, hold.maxRetries, hold.cap];
    const [outcome, fence, attempts] = (await this.run(HOLD, keys, args)) as [string, string?, number?];
    return { outcome, fence: Number(fence), attempts } as Held;
  }

  /** `undefined`: the record no longer carries the token. An empty token raises a dead letter's fence. */
  async raiseFence(dataStream: string, token: string, seen: number, held: number): Promise<number | undefined> {
    const answer = (await this.run(RAISE_FENCE, [], [dataStream, token, seen, held])) as string | null;
    return answer === null ? undefined : Number(answer);
  }

  async scan(minIdleMs: number, after: string | undefined, count: number, consumer = '') {
    const page = (await this.run(SCAN, [], [minIdleMs, after ?? '-', count, consumer])) as [string, number, string][];
    return page.map(([id, fieldCount, dataStream]) => ({ id, fieldCount, dataStream }));
  }

  async reconcile(rules: ReconcileRules, candidates: readonly Candidate[]): Promise<Reconciled[]> {
    if (candidates.length === 0) return [];
    const keys = candidates.flatMap(({ dataStream }) => [this.keys.lease(dataStream), this.keys.waiting(dataStream)]);
    const args = candidates.flatMap(({ id, dataStream, poison }) => [id, dataStream, poison]);
    const { minIdleMs, maxRetries, maxNeverLeased, cap, mode } = rules;
    const fixed = [minIdleMs, maxRetries, maxNeverLeased, cap, mode];
    const answers = (await this.run(RECONCILE, [...keys, this.keys.layout], [...fixed, ...args])) as (
      ReconcileAnswer | Error
    )[];
    return answers.map((answer, i) => reconciledFrom(answer, candidates[i]?.dataStream ?? ''));
  }

  /** For each entry what became of it, its handoff id and data stream. @throws what the server answered for the first that failed. */
  async redrive(ids: readonly string[]): Promise<(readonly ['redriven' | 'unreadable' | 'gone', string?, string?])[]> {
    return unfailed(await this.run(REDRIVE, [this.keys.layout], ids));
  }

  async purge(
    ids: readonly string[],
    includeUntold: boolean,
  ): Promise<(readonly ['purged' | 'untold' | 'gone', string?, string?])[]> {
    return unfailed(await this.run(PURGE, [this.keys.layout], [includeUntold ? 1 : 0, ...ids]));
  }

  /** The entry that the data stream's record names; `undefined` when it has none, or another than the ref says. */
  async entryOf(ref: { readonly dataStream: string; readonly handoffId?: string; readonly fence?: number }) {
    const record = await this.link.call((redis) => redis.hget(this.keys.owned, ref.dataStream));
    if (record === null) return undefined;
    const { id, fence } = JSON.parse(record) as { readonly id: string; readonly fence: string };
    if (ref.fence !== undefined && Number(fence) !== ref.fence) return undefined;
    if (ref.handoffId === undefined || ref.handoffId === id) return id;
    const [entry] = await this.link.call((redis) => redis.xrange(this.keys.stream, id, id));
    const fields = entry?.[1] ?? [];
    const at = fields.findIndex((field, i) => i % 2 === 0 && field === 'id');
    return at >= 0 && fields[at + 1] === ref.handoffId ? id : undefined;
  }

  async mend(dataStreams: readonly string[]): Promise<number> {
    if (dataStreams.length === 0) return 0;
    const keys = dataStreams.flatMap((dataStream) => [this.keys.lease(dataStream), this.keys.waiting(dataStream)]);
    return (await this.run(MEND, keys, dataStreams)) as number;
  }

  /** Looks at a page for entries that nobody would ever meet, and returns where to go on; `undefined` at the end. */
  async mendStrays(after: string | undefined, count: number): Promise<string | undefined> {
    const next = (await this.run(STRAYS, [], [after ?? '-', count])) as string;
    return next === '' ? undefined : next;
  }

  /** Those with nothing pending; of all groups, or `only` this one. How many were removed. */
  async forgetConsumers(minIdleMs: number, only = ''): Promise<number> {
    let removed = 0;
    for (const group of [OWNERS_GROUP, HANDLERS_GROUP])
      removed += (await this.run(FORGET_CONSUMERS, [], [group, Math.round(minIdleMs), MAX_FORGOTTEN, only])) as number;
    return removed;
  }

  async stats() {
    const [[entries = 0, pending = 0, waiting = 0, dead = 0, lagMs = 0], held] = await Promise.all([
      this.run(STATS, [], []) as Promise<number[]>,
      this.held(),
    ]);
    return { queued: Math.max(0, entries - pending), pending, waiting, held, dead, lagMs };
  }

  /** Records that come or go meanwhile may be missed or counted twice. */
  private async held(): Promise<number> {
    let held = 0;
    let cursor = '0';
    do {
      const [next, some] = (await this.run(HELD, [], [cursor, HELD_PAGE])) as [string, number];
      held += some;
      cursor = next;
    } while (cursor !== '0');
    return held;
  }

  private run(script: Script, keys: readonly string[], args: readonly (string | number)[], timeoutMs?: number) {
    return this.link.script(script, [...this.keys.fixed, ...keys], args, { timeoutMs });
  }

  private async createGroup(stream: string, group: string): Promise<void> {
    try {
      await this.link.call((redis) => redis.xgroup('CREATE', stream, group, '0', 'MKSTREAM'));
    } catch (error) {
      if (!describesReply(error, 'BUSYGROUP')) throw error;
    }
  }
}

type ReconcileAnswer = [Reconciled['what'], Reconciled['cause']?, string?, number?];

function reconciledFrom(answer: ReconcileAnswer | Error, dataStream: string): Reconciled {
  const nothing = { cause: 'crash', handoffId: '', count: 0, dataStream } as const;
  if (!Array.isArray(answer)) return { ...nothing, what: 'lost', error: answer };
  const [what, cause = nothing.cause, handoffId = '', count = 0] = answer;
  return { what, cause, handoffId, count, dataStream };
}

function acquiredFrom(answer: string | Error): Acquired {
  if (typeof answer !== 'string') return { outcome: 'failed', error: answer };
  const fence = Number(answer);
  if (fence > 0) return { outcome: 'granted', fence };
  return { outcome: answer as 'gone' | 'owned' | 'waiting' };
}

/** The server's error replies begin with a word of their own: NOGROUP, BUSYGROUP, NOSCRIPT. */
export function describesReply(error: unknown, word: string): boolean {
  const { message, cause } = (error ?? {}) as { message?: unknown; cause?: unknown };
  if (typeof message === 'string' && new RegExp(`(^|[ :-])${word}\\b`).test(message)) return true;
  return cause !== undefined && describesReply(cause, word);
}

/** Of a call for many: each acted on alone, so those that worked have done so. */
function unfailed<T>(answers: unknown): T[] {
  const all = answers as (T | Error)[];
  const failed = all.find((answer) => !Array.isArray(answer));
  if (failed !== undefined) throw typedReply(failed);
  return all as T[];
}
