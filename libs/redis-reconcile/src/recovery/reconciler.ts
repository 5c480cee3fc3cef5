import { type Clock, errorCode, type TypedEvents } from '@nest-baton/core';
import { describesReply, type Partition } from '../partitions/partition.js';
import { partitionOf } from '../partitions/partition-of.js';
import { poisonOf } from '../producing/handoff-entry.js';
import type { ReconcileReport, RedisReconcileEvents } from '../redis-reconcile.events.js';
import type { Candidate, Reconciled, ReconcileRules } from '../scripts/recovery/reconcile.js';
import { Mender } from './mender.js';
import { isReply, steppingOver, throwFirst } from './stepping-over.js';

/** Times that an entry may be read and lost before anybody leased it: more is no accident. */
const MAX_NEVER_LEASED = 10;
/** A pass goes on to the end of the list, but no longer than this; the next one starts where it stopped. */
const MAX_PASS_MS = 5000;
/** A consumer that has neither read nor renewed for so many leases is gone; the next read of a living one would create it again. */
const CONSUMER_GONE_LEASES = 5;

export interface ReconcilerOptions {
  readonly partitions: readonly Partition[];
  readonly leaseMs: number;
  readonly blockMs: number;
  readonly batchSize: number;
  readonly maxRetries: number;
  readonly dlqMaxLen: number;
  readonly clock: Clock;
  readonly events: TypedEvents<RedisReconcileEvents>;
  readonly onBuried: () => void;
}

/**
 * Finds work whose owner is gone and gives it to somebody else, or gives it up.
 *
 * - Every decision is taken by a script that looks again, so any number of reconcilers may run, and stale news do no harm.
 * - After a gap in the connection nothing that had a lease is touched for one lease: owners that could not renew hand back first.
 * - Keeps its place in the list between passes: entries at the head never hide those behind them.
 * - Steps over what the server cannot act on: one broken entry or key stops neither the others nor the other partitions.
 */
export class Reconciler {
  private readonly places = new Map<Partition, string>();
  private readonly mender: Mender;
  private readonly quietUntil = new Map<Partition, number>();

  constructor(private readonly options: ReconcilerOptions) {
    this.mender = new Mender(options.clock);
  }

  /** A living one reads again after each `block`. */
  private get consumerGoneMs(): number {
    return Math.max(CONSUMER_GONE_LEASES * this.options.leaseMs, 2 * this.options.blockMs);
  }

  /** Commands to the partition failed for a while, or its master is another one: owners may not have been able to renew. */
  noticeGap(partition: Partition): void {
    this.quietUntil.set(partition, this.options.clock.monotonic() + this.options.leaseMs);
  }

  /** Until when, from now, nothing that had a lease is touched in some partition; of several the first to end. 0: none is quiet. */
  get quietMs(): number {
    const quiet = this.options.partitions.map((partition) => this.quietOf(partition)).filter((ms) => ms > 0);
    return quiet.length === 0 ? 0 : Math.min(...quiet);
  }

  /** How long nothing of this partition that had a lease is touched any more. */
  quietOf(partition: Partition): number {
    return Math.max(0, (this.quietUntil.get(partition) ?? 0) - this.options.clock.monotonic());
  }

  /**
   * One pass over all partitions, each to its end or for 5 s.
   *
   * @throws at the end the first error: one that the server answered, or RedisUnavailableError where it did not. What was done stays done.
   */
  async pass(minIdleMs: number, signal?: AbortSignal): Promise<ReconcileReport> {
    const startedAt = this.options.clock.monotonic();
    const tally = { scanned: 0, skippedAlive: 0, requeued: 0, deadLettered: 0, lostRace: 0 };
    const failures: unknown[] = [];
    const away = new Set<Partition['link']>();
    for (const partition of this.options.partitions) {
      if (signal?.aborted === true) break;
      if (this.quietOf(partition) > 0 || away.has(partition.link)) continue;
      try {
        await this.lookAt(partition, failures, [
          () => this.scanPartition(partition, minIdleMs, tally, failures, signal),
          () => this.mender.mend(partition, failures),
          () => this.mender.mendStrays(partition),
          () => partition.forgetConsumers(this.consumerGoneMs).then(() => undefined),
        ]);
      } catch (error) {
        // One master of a cluster that is away keeps nobody from what the others serve.
        if (errorCode(error) !== 'REDIS_UNAVAILABLE') throw error;
        away.add(partition.link);
        failures.push(error);
      }
    }
    if (away.size > 0 && this.options.partitions.every(({ link }) => away.has(link))) throwFirst(failures);
    const report = { ...tally, durationMs: Math.round(this.options.clock.monotonic() - startedAt) };
    this.options.events.emit('scanned', report);
    throwFirst(failures);
    return report;
  }

  /** Leases of these data streams ran out: acts on those that have none now, however short a time that is. */
  async lapsed(partition: Partition, dataStreams: readonly string[]): Promise<void> {
    if (this.quietOf(partition) > 0 || dataStreams.length === 0) return;
    const records = await partition.link.call((redis) => redis.hmget(partition.keys.owned, ...dataStreams));
    if (this.quietOf(partition) > 0) return;
    const candidates = dataStreams.flatMap((dataStream, i): Candidate[] => {
      const id = entryOf(records[i]);
      return id === undefined ? [] : [{ id, dataStream, poison: '' }];
    });
    await this.reconcileAll(partition, candidates, this.rules(0, 'lapsed'));
  }

  /** One orphan, because somebody asked: what became of it. Looks at its lease as a scan does, and waits for no idle time. */
  async claim(partition: Partition, candidate: Candidate): Promise<Reconciled['what']> {
    const failures: unknown[] = [];
    const [outcome] = await this.reconcile(partition, [candidate], this.rules(0, 'lapsed'), failures);
    throwFirst(failures);
    return outcome?.what ?? 'lost';
  }

  /** Entries that were read and cannot be owned by anybody. */
  async bury(partition: Partition, entries: readonly Candidate[]): Promise<void> {
    await this.reconcileAll(partition, entries, this.rules(0, 'idle'));
  }

  /** What this consumer read and never leased: at shutdown, so that nobody has to wait for a scan. */
  async handBackUnleased(partition: Partition, consumer: string): Promise<void> {
    const page = await partition.scan(0, undefined, 500, consumer);
    const records = page.length === 0 ? [] : await this.recordsOf(partition, page);
    // With a record the entry is leased: by a handler that still runs, or on hold.
    const unleased = page.filter(({ id }, i) => entryOf(records[i]) !== id);
    await this.reconcileAll(partition, this.toCandidates(partition, unleased), this.rules(0, 'idle'));
  }

  private recordsOf(partition: Partition, page: readonly { readonly dataStream: string }[]) {
    const names = page.map(({ dataStream }) => dataStream);
    return partition.link.call((redis) => redis.hmget(partition.keys.owned, ...names));
  }

  /** Each step, whatever became of the one before it; without the group there is nothing to look at. */
  private async lookAt(
    partition: Partition,
    failures: unknown[],
    steps: readonly (() => Promise<void>)[],
  ): Promise<void> {
    for (const step of steps) {
      try {
        await step();
      } catch (error) {
        if (describesReply(error, 'NOGROUP')) return partition.createOwnersGroup();
        if (!isReply(error)) throw error;
        failures.push(error);
      }
    }
  }

  private async scanPartition(
    partition: Partition,
    minIdleMs: number,
    tally: { scanned: number; skippedAlive: number; requeued: number; deadLettered: number; lostRace: number },
    failures: unknown[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { batchSize, clock } = this.options;
    const until = clock.monotonic() + MAX_PASS_MS;
    let page = await partition.scan(minIdleMs, this.places.get(partition), batchSize);
    for (;;) {
      // This look may have been what ended a gap.
      if (this.quietOf(partition) > 0) return;
      tally.scanned += page.length;
      const last = page.at(-1);
      const isEnd = page.length < batchSize || last === undefined;
      const isOver = isEnd || clock.monotonic() >= until || signal?.aborted === true;
      const candidates = this.toCandidates(partition, page);
      // The next page is asked for behind what is acted on: the server has something to do while this process looks at its answers.
      const [acted, next] = await Promise.allSettled([
        this.reconcile(partition, candidates, this.rules(minIdleMs, 'idle'), failures),
        isOver ? [] : partition.scan(minIdleMs, last.id, batchSize),
      ]);
      for (const { what } of valueOf(acted)) tally[TALLY[what]]++;
      if (isEnd) return void this.places.delete(partition);
      this.places.set(partition, last.id);
      if (isOver) return;
      page = valueOf(next);
    }
  }

  private toCandidates(
    partition: Partition,
    page: readonly { readonly id: string; readonly fieldCount: number; readonly dataStream: string }[],
  ): Candidate[] {
    const count = this.options.partitions.length;
    return page.map(({ id, fieldCount, dataStream }) => {
      const poison = fieldCount === 0 ? '' : poisonOf(dataStream, fieldCount);
      const isElsewhere = poison === '' && fieldCount > 0 && partitionOf(dataStream, count) !== partition.index;
      return { id, dataStream, poison: isElsewhere ? WRONG_PARTITION : poison };
    });
  }

  private async reconcileAll(partition: Partition, candidates: readonly Candidate[], rules: ReconcileRules) {
    const failures: unknown[] = [];
    await this.reconcile(partition, candidates, rules, failures);
    throwFirst(failures);
  }

  private async reconcile(
    partition: Partition,
    candidates: readonly Candidate[],
    rules: ReconcileRules,
    failures: unknown[],
  ): Promise<Reconciled[]> {
    const outcomes: Reconciled[] = [];
    const act = async (batch: readonly Candidate[]) => {
      const answers = await partition.reconcile(rules, batch);
      answers.forEach((outcome, i) => this.tell(outcome, batch[i]?.poison ?? ''));
      const failed = answers.find(({ error }) => error !== undefined);
      if (failed !== undefined && failures.length === 0) failures.push(failed.error);
      outcomes.push(...answers);
    };
    for (let i = 0; i < candidates.length; i += this.options.batchSize)
      await steppingOver(candidates.slice(i, i + this.options.batchSize), act, failures);
    return outcomes;
  }

  private tell({ what, cause, handoffId, dataStream, count }: Reconciled, poison: string): void {
    const { events, onBuried } = this.options;
    if (what === 'requeued' && cause !== 'unparseable')
      events.emit('requeued', { handoffId, dataStream, attempts: count, cause });
    if (what !== 'buried') return;
    const reason = poison !== '' ? poison : cause === 'never_leased' ? cause : 'max_retries_exceeded';
    events.emit('deadLettered', { handoffId, dataStream, attempts: count, reason });
    onBuried();
  }

  private rules(minIdleMs: number, mode: ReconcileRules['mode']): ReconcileRules {
    const { maxRetries, dlqMaxLen: cap } = this.options;
    return { minIdleMs, maxRetries, maxNeverLeased: MAX_NEVER_LEASED, cap, mode };
  }
}

/** An entry in another partition than its name's could give its data stream a second owner. */
export const WRONG_PARTITION = 'unparseable: its data stream belongs to another partition';

const TALLY = {
  lost: 'lostRace',
  gone: 'lostRace',
  fresh: 'lostRace',
  alive: 'skippedAlive',
  requeued: 'requeued',
  buried: 'deadLettered',
} as const;

function valueOf<T>(settled: PromiseSettledResult<T>): T {
  if (settled.status === 'rejected') throw settled.reason;
  return settled.value;
}

function entryOf(record: string | null | undefined): string | undefined {
  return record === null || record === undefined ? undefined : (JSON.parse(record) as { id?: string }).id;
}
