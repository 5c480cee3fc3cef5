import { adaptTransaction, type AdaptedTransaction, type TransactionLike } from '@nest-baton/core';
import { isConflict, isLostConnection, leavesOutcomeOpen } from '../connecting/lost-connection.js';
import { type Patient, repeatWhileLost } from '../connecting/patience.js';
import type { StreamDatabase } from '../connecting/stream-database.js';
import { AppendUnknownError, StreamUnavailableError } from '../pg-stream.errors.js';
import type { PgStreamMetrics } from '../pg-stream.metrics.js';
import type { StreamHints } from '../waking/stream-hints.js';
import type { Appended, Producer } from './append-options.js';
import { isRefusal, type Refusal, refusalError } from './refusal.js';
import type { Opened, WritingStore } from './writing-store.js';

export interface StreamEndRow {
  readonly status: 'done' | 'error' | 'aborted';
  readonly message: string | null;
}

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
    const { result } = await this.typed(stream, true, () => this.store.open(this.database, stream, group, producer));
    if (isRefusal(result)) throw refusalError(stream, producer, result);
    this.metrics.add('opens', 1);
    return result;
  }

  async append(stream: string, data: Buffer, producer: Producer | undefined): Promise<Patient<Appended>> {
    const { result, wasSentBefore } = await this.typed(stream, producer !== undefined, () =>
      this.store.append(this.database, stream, data, producer),
    );
    if (isRefusal(result)) throw refusalError(stream, producer, result);
    if (!result.duplicate || wasSentBefore) {
      this.metrics.record('append.size', data.length);
      this.hints.moved(stream);
    }
    return { result, wasSentBefore };
  }

  async close(stream: string, end: StreamEndRow, producer: Producer | undefined): Promise<void> {
    const { result } = await this.typed(stream, true, async () => ({
      refusal: await this.store.close(this.database, stream, end, producer),
    }));
    if (result.refusal !== undefined) throw refusalError(stream, producer, result.refusal);
    this.metrics.add('closes', 1, end.status);
    this.hints.moved(stream);
  }

  async appendIn(
    transaction: TransactionLike,
    stream: string,
    data: Buffer,
    producer: Producer | undefined,
  ): Promise<Patient<Appended>> {
    const result = await this.within(transaction, stream, producer, (adapted) =>
      this.store.append(adapted, stream, data, producer),
    );
    if (!result.duplicate) this.metrics.record('append.size', data.length);
    return { result, wasSentBefore: false };
  }

  async closeIn(
    transaction: TransactionLike,
    stream: string,
    end: StreamEndRow,
    producer: Producer | undefined,
  ): Promise<void> {
    await this.within(
      transaction,
      stream,
      producer,
      async (adapted) => (await this.store.close(adapted, stream, end, producer)) ?? {},
    );
    this.metrics.add('closes', 1, end.status);
  }

  /**
   * A missing row of the stream is created on a connection of ours: two transactions that create it at once would otherwise wait for each
   * other until one of them ends. One that is there is found on the caller's, whose pool may be ours, and have no other to give.
   */
  private async within<T extends object>(
    transaction: TransactionLike,
    stream: string,
    producer: Producer | undefined,
    write: (adapted: AdaptedTransaction) => Promise<T | Refusal>,
  ): Promise<T> {
    const adapted = await adaptTransaction(transaction);
    if (!(await undoneByLoss(stream, () => this.store.isSeenIn(adapted, stream))))
      await this.typed(stream, true, () => this.store.create(this.database, stream));
    const result = await undoneByLoss(stream, () => write(adapted));
    if (isRefusal(result)) throw refusalError(stream, producer, result);
    if (!adapted.afterCommit(() => this.hints.moved(stream))) await this.hints.movedIn(adapted, stream);
    return result;
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
