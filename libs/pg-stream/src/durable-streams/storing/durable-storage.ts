import { errorCode, type PgClientLike, type Queryable } from '@nest-baton/core';
import { isConflict, isLostConnection } from '../../connecting/lost-connection.js';
import type { SharedDatabase } from '../../connecting/shared-database.js';
import { isLockTimeout } from '../../flushing/write-failures.js';
import { AppendUnknownError, StreamBusyError, StreamUnavailableError } from '../../pg-stream.errors.js';
import { gone, notFound } from '../protocol/protocol-refusal.js';
import { ForkStore } from './fork-store.js';
import { RecordStore } from './record-store.js';
import type { StreamRecord } from './stream-record.js';

/** One open transaction, in the shape that the service's `transaction` takes. */
export type StorageTransaction = Queryable & PgClientLike;

/**
 * Where the protocol keeps its streams: those of a `PgStreamService`, and what belongs to them.
 *
 * - What has expired is treated as removed from that instant on, and is removed by whoever meets it first.
 * - A stream is removed under its lock, with its record, in one transaction; one that has forks is closed and keeps its name until the last of
 *   them goes. Its readers are woken after the commit.
 * - A stream that somebody else's transaction holds is waited for as long as `lockTimeout` allows.
 */
export class DurableStorage {
  readonly records: RecordStore;
  readonly forks: ForkStore;

  constructor(
    private readonly shared: SharedDatabase,
    defaultContentType: string,
  ) {
    this.records = new RecordStore(shared.schema, defaultContentType);
    this.forks = new ForkStore(shared.schema);
  }

  /** Undefined for a name that is free, also when its stream has just expired. A gone one is given as it is. */
  async find(name: string): Promise<StreamRecord | undefined> {
    const record = await this.typed(() => this.records.find(this.shared.database, name));
    if (record === undefined || record.isGone || !record.isExpired) return record;
    await this.remove(record, true);
    return this.typed(() => this.records.find(this.shared.database, name));
  }

  /** @throws ProtocolRefusal 404 or 410 */
  async get(name: string): Promise<StreamRecord> {
    const record = await this.find(name);
    if (record === undefined) throw notFound(name);
    if (record.isGone) throw gone(name);
    return record;
  }

  /** Under its lock. @throws ProtocolRefusal 404 or 410 when it went meanwhile. */
  async lock(transaction: Queryable, found: StreamRecord): Promise<StreamRecord> {
    const record = await this.records.lock(transaction, found);
    if (record === undefined) throw notFound(found.name);
    if (record.isGone) throw gone(found.name);
    return record;
  }

  async touch(record: StreamRecord): Promise<void> {
    await this.typed(() => this.records.touch(this.shared.database, record));
  }

  /** @param onlyExpired leaves a stream alone whose window was extended meanwhile. */
  async remove(found: StreamRecord, onlyExpired = false): Promise<void> {
    const isRemoved = await this.transaction(async (transaction) => {
      const record = await this.records.lock(transaction, found);
      if (record === undefined || record.isGone || (onlyExpired && !record.isExpired)) return false;
      if (await this.forks.hasForks(transaction, record.id)) await this.forks.markGone(transaction, record.id);
      else {
        await this.forks.remove(transaction, record.id);
        await this.removeForsaken(transaction, record.fork?.sourceId);
      }
      return true;
    });
    if (isRemoved) this.shared.moved(found.name);
  }

  /** Removes up to `limit` streams whose time is over, and as many that were kept for forks which are no more. */
  async sweep(limit: number, signal: AbortSignal): Promise<void> {
    for (const name of await this.typed(() => this.forks.expired(this.shared.database, limit))) {
      if (signal.aborted) return;
      await this.find(name);
    }
    for (const id of await this.typed(() => this.forks.forsaken(this.shared.database, limit))) {
      if (signal.aborted) return;
      await this.transaction((transaction) => this.removeForsaken(transaction, id));
    }
  }

  /**
   * @throws AppendUnknownError when the connection was lost at the commit, StreamUnavailableError when it was lost before or to a conflict,
   *   StreamBusyError when somebody holds what it needs.
   */
  transaction<T>(work: (transaction: StorageTransaction) => Promise<T>): Promise<T> {
    return this.typed(() =>
      this.shared.database.session(async (session) => {
        await session.query('BEGIN');
        let result: T;
        try {
          await session.query(`SET LOCAL lock_timeout = ${this.shared.lockTimeoutMs}`);
          result = await work(inTransaction(session));
        } catch (error) {
          if (!isLostConnection(error)) await session.query('ROLLBACK');
          throw error;
        }
        await session.query('COMMIT');
        return result;
      }),
    );
  }

  /** Up the chain of sources that were kept for their forks only: each is locked after the one that was forked from it. */
  private async removeForsaken(transaction: Queryable, sourceId: number | undefined): Promise<void> {
    for (let id = sourceId; id !== undefined;) {
      const forsaken = await this.forks.lockForsaken(transaction, id);
      if (forsaken === undefined) return;
      await this.forks.remove(transaction, id);
      id = forsaken.forkedFrom;
    }
  }

  private async typed<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      if (isConflict(error) && errorCode(error) !== 'STREAM_UNAVAILABLE')
        throw new StreamUnavailableError('Postgres gave up the request in favour of another one: repeat it.', {
          cause: error,
        });
      if (isLockTimeout(error))
        throw new StreamBusyError(
          "the stream is held by somebody's transaction for longer than lockTimeout, and nothing was done.",
          { cause: error },
        );
      if (!isLostConnection(error)) throw error;
      if (error.wasSent)
        throw new AppendUnknownError('the connection was lost; what was asked may or may not have been done.', {
          cause: error.cause,
        });
      throw new StreamUnavailableError('Postgres could not be reached; nothing was done.', { cause: error.cause });
    }
  }
}

/** A `pg` client by shape. It says what it knows, so that nobody asks the server. */
function inTransaction(session: Queryable): StorageTransaction {
  const transaction = { query: session.query.bind(session), getTransactionStatus: () => 'T' };
  return transaction;
}
