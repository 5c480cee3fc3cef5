import { adaptTransaction, type TransactionLike } from '@nest-baton/core';
import { isConflict, isLostConnection, leavesOutcomeOpen } from '../connecting/lost-connection.js';
import { repeatWhileLost } from '../connecting/patience.js';
import type { StreamDatabase } from '../connecting/stream-database.js';
import type { GroupCommit } from '../flushing/group-commit.js';
import type { Placed, WriteRequest } from '../flushing/write-call.js';
import { busyError, conflictError, isLockTimeout, lostError } from '../flushing/write-failures.js';
import { StreamUnavailableError } from '../pg-stream.errors.js';
import type { PgStreamMetrics } from '../pg-stream.metrics.js';
import type { StreamHints } from '../waking/stream-hints.js';
import type { Appended, EndRow, Producer } from './append-options.js';
import { isRefusal, type Refusal, refusalError } from './refusal.js';
import type { Opened, OpenRequest, WritingStore, Written } from './writing-store.js';

/** One append. */
export type AppendRequest = Omit<WriteRequest, 'end'>;

export interface CloseRequest extends Omit<WriteRequest, 'chunks'> {
  readonly end: EndRow;
}

/**
 * Carries out one write each, and tells what became of it.
 *
 * - Appends and closes leave together with those of others, see `GroupCommit`; those in a transaction of the caller run there, alone.
 * - A write whose answer did not come ends as APPEND_UNKNOWN; one that never left, or that the server undid in favour of another, as
 *   STREAM_UNAVAILABLE; one whose stream somebody else holds for too long as STREAM_BUSY.
 * - Readers are woken after the commit: by the caller's transaction where there is one.
 */
export class StreamAppender {
  constructor(
    private readonly database: StreamDatabase,
    private readonly store: WritingStore,
    private readonly commits: GroupCommit,
    private readonly hints: StreamHints,
    private readonly metrics: PgStreamMetrics,
    private readonly lockTimeoutMs: number,
  ) {}

  async open(request: OpenRequest): Promise<Opened> {
    const { stream, producer, mustCreate } = request;
    const opened = await this.typed(stream, !mustCreate, () =>
      this.store.open(this.database, request, this.lockTimeoutMs),
    );
    if (isRefusal(opened)) throw refusalError(stream, producer, opened);
    this.metrics.add('opens', 1);
    return opened;
  }

  async renew(stream: string, producer: { readonly id: string; readonly epoch: number } | undefined): Promise<void> {
    const refusal = await this.typed(stream, true, async () => ({
      why: await this.store.renew(this.database, stream, producer, this.lockTimeoutMs),
    }));
    if (refusal.why !== undefined) throw refusalError(stream, producer, refusal.why);
  }

  async append(request: AppendRequest): Promise<Placed> {
    const placed = await this.commits.write(request);
    if (!placed.duplicate || placed.wasSentBefore) this.recordSizes(request);
    return placed;
  }

  async close(request: CloseRequest): Promise<void> {
    await this.commits.write({ ...request, chunks: [] });
    this.metrics.add('closes', 1, request.end.status);
  }

  async appendIn(transaction: TransactionLike, request: AppendRequest): Promise<Placed> {
    const result = await this.within(transaction, request);
    if (!result.duplicate) this.recordSizes(request);
    return { ...result, wasSentBefore: false };
  }

  async closeIn(transaction: TransactionLike, request: CloseRequest): Promise<void> {
    await this.within(transaction, { ...request, chunks: [] });
    this.metrics.add('closes', 1, request.end.status);
  }

  /**
   * A missing row of the stream is created on a connection of ours: two transactions that create it at once would otherwise wait for each
   * other until one of them ends. One that is there is found on the caller's, whose pool may be ours, and have no other to give.
   */
  private async within(transaction: TransactionLike, request: WriteRequest): Promise<Appended> {
    const { stream, producer, chunks } = request;
    const adapted = await adaptTransaction(transaction);
    if (!(await undoneByLoss(stream, () => this.store.isSeenIn(adapted, stream))))
      await this.typed(stream, true, () => this.store.create(this.database, stream));
    const item = { ...request, calls: 1, lastCallChunks: chunks.length };
    const [written] = await undoneByLoss(stream, () => this.store.write(adapted, [item], 0));
    const result = toAppended(stream, producer, written);
    if (!adapted.afterCommit(() => this.hints.appended(stream))) await this.hints.movedIn(adapted, stream);
    return result;
  }

  private async typed<T>(stream: string, mayRunTwice: boolean, write: () => Promise<T>): Promise<T> {
    try {
      return mayRunTwice ? (await repeatWhileLost(write, this.database.whenClosed)).result : await write();
    } catch (error) {
      if (isConflict(error)) throw conflictError(stream, error);
      if (isLockTimeout(error)) throw busyError(stream, error);
      if (!isLostConnection(error)) throw error;
      throw lostError(stream, error.wasSent, error.cause);
    }
  }

  private recordSizes({ chunks }: AppendRequest): void {
    for (const { length } of chunks) this.metrics.record('append.size', length);
  }
}

/** A transaction that has not committed is undone with its connection, so here a loss leaves nothing open. */
async function undoneByLoss<T>(stream: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (isConflict(error)) throw conflictError(stream, error);
    if (isLockTimeout(error)) throw busyError(stream, error);
    if (!leavesOutcomeOpen(error)) throw error;
    throw new StreamUnavailableError(
      `the transaction in which the stream '${stream}' was written was lost with its connection, and is undone.`,
      { cause: error },
    );
  }
}

function toAppended(stream: string, producer: Producer | undefined, written: Written | undefined): Appended {
  if (written === undefined || isRefusal(written)) throw refusalError(stream, producer, written as Refusal);
  const { firstIndex, lastIndex } = written as { readonly firstIndex: number; readonly lastIndex: number };
  return { firstIndex, lastIndex, duplicate: written.verdict === 'duplicate' };
}
