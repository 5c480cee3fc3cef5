import { errorCode } from '@nest-baton/core';
import { AppendUnknownError, ProducerFencedError } from '../pg-stream.errors.js';
import type { Patient } from '../connecting/patience.js';
import type { PgStreamMetrics } from '../pg-stream.metrics.js';
import type { Appended, CloseOptions, Producer } from './append-options.js';
import { CallQueue } from './call-queue.js';
import { toChunkData, toEnd } from './call-check.js';
import { measuredAppend } from './measured-append.js';
import type { StreamAppender } from './stream-appender.js';
import type { Opened } from './writing-store.js';

/**
 * One owner's way to write a stream.
 *
 * - Numbers its calls and sends them one after another, in the order in which they were made, awaited or not.
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
  private nextSeq: number;
  private broken: AppendUnknownError | undefined;

  constructor(
    private readonly appender: StreamAppender,
    private readonly stream: string,
    private readonly producer: Omit<Producer, 'seq'> | undefined,
    opened: Opened,
    private readonly maxChunkBytes: number,
    private readonly metrics: PgStreamMetrics,
  ) {
    this.position = opened.nextIndex;
    this.nextSeq = opened.lastSeq + 1;
  }

  get nextIndex(): number {
    return this.position;
  }

  async append(data: string | Uint8Array): Promise<Appended> {
    return measuredAppend(this.metrics, false, async () => {
      const bytes = toChunkData(data, this.maxChunkBytes);
      return this.queue.add(bytes.length, () => this.unlessBroken(() => this.appendNow(bytes)));
    });
  }

  async close(options: Pick<CloseOptions, 'status' | 'message' | 'transaction'> = {}): Promise<void> {
    const { transaction } = options;
    const end = toEnd(options);
    // The number of a close is not counted: where it is committed, nothing can follow it; where it is rolled back, it is free again.
    await this.queue.add(0, () =>
      transaction === undefined
        ? this.unlessBroken(() => this.appender.close(this.stream, end, this.numbered()))
        : this.refusedWhenBroken(() => this.appender.closeIn(transaction, this.stream, end, this.numbered())),
    );
  }

  private async appendNow(data: Buffer): Promise<Patient<Appended>> {
    const producer = this.numbered();
    const appended = await this.appender.append(this.stream, data, producer);
    const { result, wasSentBefore } = appended;
    if (result.duplicate && !wasSentBefore && producer !== undefined)
      throw new ProducerFencedError(
        `another writer has used number ${producer.seq} of producer '${producer.id}' on the stream '${this.stream}' in the same epoch ${producer.epoch}: ` +
          'this chunk was not stored. Give each owner an epoch of its own.',
        producer.epoch,
      );
    this.nextSeq++;
    if (result.lastIndex >= 0) this.position = result.lastIndex + 1;
    return appended;
  }

  private async unlessBroken<T>(call: () => Promise<T>): Promise<T> {
    return this.refusedWhenBroken(async () => {
      try {
        return await call();
      } catch (error) {
        if (errorCode(error) === 'APPEND_UNKNOWN') this.broken = error as AppendUnknownError;
        throw error;
      }
    });
  }

  private async refusedWhenBroken<T>(call: () => Promise<T>): Promise<T> {
    if (this.broken !== undefined)
      throw new AppendUnknownError(
        `an earlier call of this writer on the stream '${this.stream}' may or may not be stored: open the stream again, and go on at its nextIndex.`,
        { cause: this.broken },
      );
    return call();
  }

  private numbered(): Producer | undefined {
    return this.producer === undefined ? undefined : { ...this.producer, seq: this.nextSeq };
  }
}
