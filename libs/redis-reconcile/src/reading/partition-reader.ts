import { setImmediate as turnOfTheLoop, setTimeout as sleep } from 'node:timers/promises';
import { backoffDelay, errorCode, type Random } from '@nest-baton/core';
import { describesReply, type Partition } from '../partitions/partition.js';
import type { BlockingReader, RawEntry } from './blocking-reader.js';
import type { Capacity } from './capacity.js';

/** Most entries that one script acquires: bounds its time. */
const MAX_BATCH = 100;
const RETRY = { baseMs: 100, factor: 2, capMs: 5000, jitter: 'equal' } as const;
/** Between two attempts to end a parked read. */
const UNBLOCK_EVERY_MS = 20;

export interface PartitionReaderOptions {
  readonly partition: Partition;
  readonly reader: BlockingReader;
  readonly capacity: Capacity;
  readonly random: Random;
  /** Takes over the entries and one slot for each; slots it has no use for it gives back. Never rejects for an entry's sake. */
  readonly onEntries: (entries: readonly RawEntry[]) => Promise<void>;
  /** `failures`: how many there were in a row. */
  readonly onFailure: (error: unknown, failures: number) => void;
  /** How long an ending read may take before its connection is closed under it. */
  readonly stopTimeoutMs: number;
}

/**
 * Reads one partition's new hand-offs, never more than there is capacity for.
 *
 * - Parks with one slot reserved, then takes as many more as are free: entries never sit in memory without a lease.
 * - A lost group is created again at the stream's start. Every other failure is retried, 100 ms to 5 s apart, for ever.
 * - `stop()` returns when no read is parked on the server any more, so that the next entry goes to somebody else at once.
 */
export class PartitionReader {
  private loop: Promise<void> | undefined;
  private readonly stopping = new AbortController();
  private failures = 0;
  /** There may be entries that nobody has read: not known otherwise at the start. */
  private hasMore = true;
  /** The entries of the read before, being leased. */
  private taking: Promise<void> = Promise.resolve();

  constructor(private readonly options: PartitionReaderOptions) {}

  start(): void {
    if (this.stopping.signal.aborted) return;
    this.loop ??= this.run();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    if (this.loop === undefined) return;
    let isEnded = false;
    const ended = this.loop.finally(() => (isEnded = true));
    const closing = setTimeout(() => this.options.reader.close(), this.options.stopTimeoutMs);
    while (!isEnded) {
      await this.unblock();
      await Promise.race([ended, sleep(UNBLOCK_EVERY_MS)]);
    }
    clearTimeout(closing);
    this.options.reader.close();
  }

  private get isStopping(): boolean {
    return this.stopping.signal.aborted;
  }

  private async run(): Promise<void> {
    while (!this.isStopping && (await this.slot())) {
      if (this.isStopping) {
        this.options.capacity.release();
        break;
      }
      try {
        await this.turn();
        this.failures = 0;
      } catch (error) {
        await this.recover(error);
      }
    }
    await this.taking.catch((error: unknown) => this.options.onFailure(error, 0));
  }

  /** Slots come free in bunches: all that this turn of the loop frees are taken by one read. */
  private async slot(): Promise<boolean> {
    const { capacity } = this.options;
    if (capacity.takeFree(1) === 1) return true;
    const isTaken = await capacity.take();
    if (isTaken) await turnOfTheLoop();
    return isTaken;
  }

  /** Owns one slot when it begins and none when it ends. */
  private async turn(): Promise<void> {
    const entries = await this.read();
    if (entries.length === 0) return;
    // While these are leased the next are read; no more than that, and none at all while leasing fails.
    const before = await this.taking.then(
      () => undefined,
      (error: Error) => error,
    );
    this.taking = this.options.onEntries(entries);
    this.taking.catch(() => undefined);
    if (before !== undefined) throw before;
  }

  /** Parks only when there was nothing the last time; keeps a slot for each entry that it returns. */
  private async read(): Promise<RawEntry[]> {
    const { reader, capacity } = this.options;
    const slots = this.hasMore ? 1 + capacity.takeFree(MAX_BATCH - 1) : 1;
    let entries: RawEntry[] = [];
    try {
      entries = this.hasMore ? await reader.readNow(slots) : await reader.readOne(capacity.isWanted);
      this.hasMore = entries.length > 0;
    } finally {
      capacity.release(slots - entries.length);
    }
    return entries;
  }

  /** The read alone knows that it is parked: ending it from outside is repeated until the loop has ended. */
  private async unblock(): Promise<void> {
    const { reader } = this.options;
    try {
      await reader.unblock();
    } catch {
      // Not allowed, or the server is gone: closing the connection ends the read too, and what it still took is handed back unleased.
      reader.close();
    }
  }

  private async recover(error: unknown): Promise<void> {
    if (this.isStopping) return;
    const { partition, onFailure, random } = this.options;
    if (describesReply(error, 'UNBLOCKED')) return;
    if (describesReply(error, 'NOGROUP')) {
      const isCreated = await partition.restoreOwnersGroup().catch(() => false);
      if (isCreated) return;
    }
    this.failures++;
    onFailure(error, this.failures);
    // What we read stays pending until it is moved: there is no use in reading more.
    const isRefused = errorCode(error) === 'PARTITIONS_MISMATCH';
    const delay = isRefused ? RETRY.capMs : backoffDelay(this.failures, RETRY, random);
    await sleep(delay, undefined, { signal: this.stopping.signal }).catch(() => undefined);
  }
}
