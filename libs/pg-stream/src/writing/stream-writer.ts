import { errorCode } from '@nest-baton/core';
import type { Placed } from '../flushing/write-call.js';
import { AppendUnknownError } from '../pg-stream.errors.js';
import type { PgStreamMetrics } from '../pg-stream.metrics.js';
import type { Appended, CloseOptions, Producer } from './append-options.js';
import { type ChunkLimits, toChunks, toEnd } from './call-check.js';
import { CallQueue } from './call-queue.js';
import { measuredAppend } from './measured-append.js';
import type { StreamAppender } from './stream-appender.js';
import type { Opened } from './writing-store.js';

/**
 * One owner's way to write a stream.
 *
 * - Numbers its calls and has them carried out in the order in which they were made, awaited or not; those that are not awaited share commits.
 * - With a producer: a call whose connection is lost is repeated with its number, and stored once. When that does not succeed within about
 *   10 s, what became of it is unknown: that call and every later one are refused with APPEND_UNKNOWN until the stream is opened again,
 *   since its number must not be used for other data.
 * - Without a producer nothing may be repeated: the first lost connection leaves it in that state.
 */
export interface StreamWriter {
  /** Where the next chunk goes, unless somebody else writes the stream too. After `open`, where to go on. */
  readonly nextIndex: number;
  /** Resolves when the chunk is committed. Strings are stored as UTF-8. */
  append(data: string | Uint8Array): Promise<Appended>;
  /** All of them or none, one behind another, in one call with one number. An empty list is no call. */
  appendMany(chunks: readonly (string | Uint8Array)[]): Promise<Appended>;
  /**
   * Begins the lease of `open({ writerLease })` anew, as an append does.
   *
   * @throws StreamClosedError when it has run out and the stream was closed, ProducerFencedError, StreamNotFoundError.
   */
  renew(): Promise<void>;
  /**
   * Closes the stream after all appends before. With `transaction`, the stream is closed when that commits; after a rollback the writer goes on
   * as if this call had not been made. Do not append on it before the transaction has ended: that waits for the transaction.
   */
  close(options?: Pick<CloseOptions, 'status' | 'message' | 'transaction'>): Promise<void>;
}

/** What `open` gives. */
export class NumberingWriter implements StreamWriter {
  private readonly queue = new CallQueue();
  private position: number;
  /** Of the first call that is not stored; those under way have the numbers from here on. */
  private nextSeq: number;
  private underWay = 0;
  private broken: AppendUnknownError | undefined;

  constructor(
    private readonly appender: StreamAppender,
    private readonly stream: string,
    private readonly producer: Omit<Producer, 'seq'> | undefined,
    opened: Opened,
    private readonly limits: ChunkLimits,
    private readonly metrics: PgStreamMetrics,
  ) {
    this.position = opened.nextIndex;
    this.nextSeq = opened.lastSeq + 1;
  }

  get nextIndex(): number {
    return this.position;
  }

  append(data: string | Uint8Array): Promise<Appended> {
    return this.measured(() => toChunks([data], this.limits));
  }

  async appendMany(chunks: readonly (string | Uint8Array)[]): Promise<Appended> {
    if (chunks.length === 0) return { firstIndex: -1, lastIndex: -1, duplicate: false };
    return this.measured(() => toChunks(chunks, this.limits));
  }

  async renew(): Promise<void> {
    this.throwIfBroken();
    await this.appender.renew(this.stream, this.producer);
  }

  async close(options: Pick<CloseOptions, 'status' | 'message' | 'transaction'> = {}): Promise<void> {
    const { transaction } = options;
    const request = () => ({ stream: this.stream, end, producer: this.numbered() });
    const end = toEnd(options);
    // The number of a close is not counted: where it is committed, nothing can follow it; where it is rolled back, it is free again.
    if (transaction === undefined)
      await this.queue.add(0, async () => {
        this.throwIfBroken();
        await this.appender.close({ ...request(), owner: this.queue }).catch((error: unknown) => this.failed(error));
      });
    else
      await this.queue.addAlone(async () => {
        this.throwIfBroken();
        await this.appender.closeIn(transaction, request());
      });
  }

  private measured(toBuffers: () => readonly Buffer[]): Promise<Appended> {
    return measuredAppend(this.metrics, false, () => {
      const chunks = toBuffers();
      let bytes = 0;
      for (const { length } of chunks) bytes += length;
      return this.queue.add(bytes, () => this.appendNow(chunks));
    });
  }

  private async appendNow(chunks: readonly Buffer[]): Promise<Placed> {
    this.throwIfBroken();
    const producer = this.numbered();
    this.underWay++;
    try {
      const appended = await this.appender.append({ stream: this.stream, chunks, producer, owner: this.queue });
      const { lastIndex } = appended;
      this.nextSeq++;
      if (lastIndex >= 0) this.position = lastIndex + 1;
      return appended;
    } catch (error) {
      return this.failed(error);
    } finally {
      this.underWay--;
    }
  }

  private failed(error: unknown): never {
    if (errorCode(error) === 'APPEND_UNKNOWN') this.broken = error as AppendUnknownError;
    throw error;
  }

  private throwIfBroken(): void {
    if (this.broken === undefined) return;
    throw new AppendUnknownError(
      `an earlier call of this writer on the stream '${this.stream}' may or may not be stored: open the stream again, and go on at its nextIndex.`,
      { cause: this.broken },
    );
  }

  private numbered(): Producer | undefined {
    if (this.producer === undefined) return undefined;
    const { id, epoch } = this.producer;
    return { id, epoch, seq: this.nextSeq + this.underWay };
  }
}
