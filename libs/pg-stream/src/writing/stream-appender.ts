import { adaptTransaction, type Queryable, type TransactionLike } from '@nest-baton/core';
import { isConflict, isLostConnection, leavesOutcomeOpen } from '../connecting/lost-connection.js';
import { type Patient, repeatWhileLost } from '../connecting/patience.js';
import type { StreamDatabase } from '../connecting/stream-database.js';
import { AppendUnknownError, StreamUnavailableError } from '../pg-stream.errors.js';
import type { PgStreamMetrics } from '../pg-stream.metrics.js';
import type { StreamHints } from '../waking/stream-hints.js';
import type { Appended, EndRow, Producer } from './append-options.js';
import { isRefusal, type Refusal, refusalError } from './refusal.js';
import type { WriteItem } from './write-encoding.js';
import type { Opened, WritingStore, Written } from './writing-store.js';

/**
 * Carries out one write each, and tells what became of it.
 *
 * - A write that may run twice (it has a producer, or is a close or an open) is repeated for about 10 s while the connection is lost.
 * - A write whose answer did not come ends as APPEND_UNKNOWN; one that never left, or that the server undid in favour of another, as
 *   STREAM_UNAVAILABLE.
 * - Readers are woken after the commit: by the caller's transaction where there is one.
 */
export class StreamAppender {
  constructor(
    private readonly database: StreamDatabase,
    private readonly store: WritingStore,
    private readonly hints: StreamHints,
    private readonly metrics: PgStreamMetrics,
  ) {}

  async open(
    stream: string,
    group: string | undefined,
    producer: { readonly id: string; readonly epoch: number } | undefined,
  ): Promise<Opened> {
    const { result } = await this.typed(stream, true, () =>
      this.store.open(this.database, { stream, group, producer, leaseMs: undefined, mustCreate: false }, 0),
    );
    if (isRefusal(result)) throw refusalError(stream, producer, result);
    this.metrics.add('opens', 1);
    return result;
  }

  async append(stream: string, data: Buffer, producer: Producer | undefined): Promise<Patient<Appended>> {
    const { result, wasSentBefore } = await this.typed(stream, producer !== undefined, () =>
      this.writeOne(this.database, appendOf(stream, data, producer)),
    );
    if (!result.duplicate || wasSentBefore) {
      this.metrics.record('append.size', data.length);
      this.hints.moved(stream);
    }
    return { result, wasSentBefore };
  }

  async close(stream: string, end: EndRow, producer: Producer | undefined): Promise<void> {
    await this.typed(stream, true, () => this.writeOne(this.database, closeOf(stream, end, producer)));
    this.metrics.add('closes', 1, end.status);
    this.hints.moved(stream);
  }

  async appendIn(
    transaction: TransactionLike,
    stream: string,
    data: Buffer,
    producer: Producer | undefined,
  ): Promise<Patient<Appended>> {
    const result = await this.within(transaction, appendOf(stream, data, producer));
    if (!result.duplicate) this.metrics.record('append.size', data.length);
    return { result, wasSentBefore: false };
  }

  async closeIn(
    transaction: TransactionLike,
    stream: string,
    end: EndRow,
    producer: Producer | undefined,
  ): Promise<void> {
    await this.within(transaction, closeOf(stream, end, producer));
    this.metrics.add('closes', 1, end.status);
  }

  /**
   * A missing row of the stream is created on a connection of ours: two transactions that create it at once would otherwise wait for each
   * other until one of them ends. One that is there is found on the caller's, whose pool may be ours, and have no other to give.
   */
  private async within(transaction: TransactionLike, item: WriteItem): Promise<Appended> {
    const { stream } = item;
    const adapted = await adaptTransaction(transaction);
    if (!(await undoneByLoss(stream, () => this.store.isSeenIn(adapted, stream))))
      await this.typed(stream, true, () => this.store.create(this.database, stream));
    const [written] = await undoneByLoss(stream, () => this.store.write(adapted, [item], 0));
    const result = toAppended(item, written);
    if (!adapted.afterCommit(() => this.hints.moved(stream))) await this.hints.movedIn(adapted, stream);
    return result;
  }

  private async writeOne(on: Queryable, item: WriteItem): Promise<Appended> {
    const [written] = await this.store.write(on, [item], 0);
    return toAppended(item, written);
  }

  private async typed<T>(stream: string, mayRunTwice: boolean, write: () => Promise<T>): Promise<Patient<T>> {
    try {
      if (mayRunTwice) return await repeatWhileLost(write, this.database.whenClosed);
      return { result: await write(), wasSentBefore: false };
    } catch (error) {
      if (isConflict(error)) throw conflict(stream, error);
      if (!isLostConnection(error)) throw error;
      if (error.wasSent)
        throw new AppendUnknownError(
          `the connection was lost while the stream '${stream}' was written; it may or may not be stored.`,
          { cause: error.cause },
        );
      throw new StreamUnavailableError(
        `Postgres could not be reached, and nothing was written to the stream '${stream}'.`,
        { cause: error.cause },
      );
    }
  }
}

function toAppended(item: WriteItem, written: Written | undefined): Appended {
  if (written === undefined || isRefusal(written)) throw refusalError(item.stream, item.producer, written as Refusal);
  const { firstIndex, lastIndex } = written as { firstIndex: number; lastIndex: number };
  return { firstIndex, lastIndex, duplicate: written.verdict === 'duplicate' };
}

function appendOf(stream: string, data: Buffer, producer: Producer | undefined): WriteItem {
  return { stream, chunks: [data], producer, calls: 1, lastCallChunks: 1 };
}

function closeOf(stream: string, end: EndRow, producer: Producer | undefined): WriteItem {
  return { stream, chunks: [], producer, calls: 1, lastCallChunks: 0, end };
}

/** A transaction that has not committed is undone with its connection, so here a loss leaves nothing open. */
async function undoneByLoss<T>(stream: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (isConflict(error)) throw conflict(stream, error);
    if (!leavesOutcomeOpen(error)) throw error;
    throw new StreamUnavailableError(
      `the transaction in which the stream '${stream}' was written was lost with its connection, and is undone.`,
      { cause: error },
    );
  }
}

function conflict(stream: string, cause: unknown): StreamUnavailableError {
  return new StreamUnavailableError(
    `Postgres gave up the transaction that wrote the stream '${stream}' in favour of another one: repeat all of it.`,
    { cause },
  );
}
