import { describeError, errorCode, PollLoop, type TypedEvents } from '@nest-baton/core';
import type { Logger } from '@nestjs/common';
import type { HandoffWorker } from '../handling/handoff-handler.decorator.js';
import { describesReply, type Partition } from '../partitions/partition.js';
import type { RedisReconcileEvents } from '../redis-reconcile.events.js';
import { HANDLERS_GROUP } from '../scripts/script.js';
import { DeadHandoff } from './dead-handoff.js';
import { type DeadEntry, toDeadLetter } from './dead-letter-store.js';

const BATCH = 10;

export interface DeadLetterCourierOptions {
  readonly name: string;
  readonly partitions: readonly Partition[];
  readonly worker: HandoffWorker;
  readonly consumer: string;
  /** An entry that was told this long ago and not acknowledged is told again, by whoever looks first. */
  readonly reclaimMs: number;
  readonly intervalMs: () => number;
  readonly events: TypedEvents<RedisReconcileEvents>;
  readonly logger: Logger;
}

/**
 * Tells the handler what was given up, through a group of its own.
 *
 * - At least once: acknowledged only after `onDeadLetter` has resolved. One that throws, or whose process dies, is told again after `reclaimMs`,
 *   here or elsewhere, for ever.
 * - Entries that nobody can read are acknowledged untold.
 */
export class DeadLetterCourier {
  private readonly loop: PollLoop;
  private readonly abort = new AbortController();
  private retry: NodeJS.Timeout | undefined;
  private readonly freshening = new Set<NodeJS.Timeout>();

  constructor(private readonly options: DeadLetterCourierOptions) {
    this.loop = new PollLoop({
      name: options.name,
      pass: () => this.pass(),
      intervalMs: options.intervalMs,
      onError: (error) => {
        options.logger.warn('telling dead letters failed', { error: describeError(error) });
        this.comeBack();
      },
    });
  }

  start(): void {
    this.loop.start();
  }

  notify(): void {
    this.loop.notify();
  }

  /** Aborts what runs and waits for it, at most `timeoutMs`: what does not return is told again elsewhere. */
  async stop(timeoutMs: number): Promise<void> {
    clearTimeout(this.retry);
    this.abort.abort();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, timeoutMs)));
    await Promise.race([this.loop.stop(), late]);
    clearTimeout(timer);
    clearTimeout(this.retry);
    // What has not returned by now is somebody else's to tell: its entry must grow old.
    for (const interval of this.freshening) clearInterval(interval);
  }

  private async pass(): Promise<void> {
    const failures: unknown[] = [];
    const away = new Set<Partition['link']>();
    for (const partition of this.options.partitions)
      if (!away.has(partition.link))
        await this.passOver(partition).catch((error: unknown) => {
          // One master of a cluster that is away keeps nobody from the dead letters of the others.
          if (errorCode(error) !== 'REDIS_UNAVAILABLE') throw error;
          away.add(partition.link);
          failures.push(error);
        });
    if (failures.length > 0) throw failures[0];
  }

  private async passOver(partition: Partition): Promise<void> {
    try {
      await this.tellAll(partition, () => this.reclaim(partition));
      await this.tellAll(partition, () => this.readNew(partition));
    } catch (error) {
      if (!describesReply(error, 'NOGROUP')) throw error;
      await partition.createHandlersGroup();
      this.loop.notify();
    }
  }

  private async tellAll(partition: Partition, next: () => Promise<DeadEntry[]>): Promise<void> {
    for (;;) {
      if (this.abort.signal.aborted) return;
      const entries = await next();
      await Promise.all(entries.map((entry) => this.tell(partition, entry)));
      if (entries.length < BATCH) return;
    }
  }

  private async readNew({ keys, link }: Partition): Promise<DeadEntry[]> {
    const reply = await link.call((redis) =>
      redis.call(
        'XREADGROUP',
        'GROUP',
        HANDLERS_GROUP,
        this.options.consumer,
        'COUNT',
        BATCH,
        'STREAMS',
        keys.deadLetters,
        '>',
      ),
    );
    if (reply === null) return [];
    const streams = Array.isArray(reply) ? (reply as [string, DeadEntry[]][]) : Object.entries(reply as object);
    return streams.flatMap(([, entries]) => entries as DeadEntry[]);
  }

  private async reclaim({ keys, link }: Partition): Promise<DeadEntry[]> {
    const { consumer, reclaimMs } = this.options;
    const stale = (await link.call((redis) =>
      redis.xpending(keys.deadLetters, HANDLERS_GROUP, 'IDLE', reclaimMs, '-', '+', BATCH),
    )) as [string][];
    if (stale.length === 0) return [];
    const ids = stale.map(([id]) => id);
    const claimed = (await link.call((redis) =>
      redis.xclaim(keys.deadLetters, HANDLERS_GROUP, consumer, reclaimMs, ...ids),
    )) as (DeadEntry | null)[];
    const there = claimed.filter((entry) => entry !== null && entry[1] !== null) as DeadEntry[];
    // Deleted by hand meanwhile: there is nothing to tell.
    const gone = ids.filter((id) => claimed.length > 0 && !there.some(([known]) => known === id));
    if (there.length === 0 && gone.length > 0)
      await link.call((redis) => redis.xack(keys.deadLetters, HANDLERS_GROUP, ...gone));
    return there;
  }

  private async tell(partition: Partition, [id, fields]: DeadEntry): Promise<void> {
    const { worker, consumer, events, logger, reclaimMs } = this.options;
    const letter = toDeadLetter(id, fields, false);
    const { handoffId, dataStream } = letter;
    let freshen: NodeJS.Timeout | undefined;
    try {
      if (!letter.isHandled) {
        freshen = setInterval(() => this.keep(partition, id), reclaimMs / 3).unref();
        this.freshening.add(freshen);
        const signal = this.abort.signal;
        const handoff = new DeadHandoff(letter, { partition, consumer, signal });
        await worker.onDeadLetter?.(handoff, letter.reason);
      }
      await partition.link.call((redis) => redis.xack(partition.keys.deadLetters, HANDLERS_GROUP, id));
      if (!letter.isHandled) events.emit('deadLetterHandled', { handoffId, dataStream, error: undefined });
    } catch (thrown) {
      const error = describeError(thrown);
      logger.warn('a dead letter was not handled; it is told again', { handoffId, dataStream, error });
      events.emit('deadLetterHandled', { handoffId, dataStream, error });
      this.comeBack();
    } finally {
      clearInterval(freshen);
      if (freshen !== undefined) this.freshening.delete(freshen);
    }
  }

  /** A handler that takes its time is not told a second time meanwhile. */
  private keep({ keys, link }: Partition, id: string): void {
    const { consumer } = this.options;
    link
      .call((redis) => redis.xclaim(keys.deadLetters, HANDLERS_GROUP, consumer, 0, id, 'JUSTID'))
      .catch(() => undefined);
  }

  private comeBack(): void {
    clearTimeout(this.retry);
    if (this.abort.signal.aborted) return;
    this.retry = setTimeout(() => this.loop.notify(), this.options.reclaimMs + 50);
  }
}
