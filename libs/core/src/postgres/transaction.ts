import { NotInTransactionError } from '../errors.js';
import { guardedCall } from '../guarded-call.js';
import type { Queryable, QueryOutcome } from './queryable.js';

/** A TypeORM `QueryRunner`, by shape. */
export interface QueryRunnerLike {
  readonly isTransactionActive: boolean;
  query(text: string, values?: unknown[], useStructuredResult?: boolean): Promise<unknown>;
}

/** A TypeORM `EntityManager`, by shape: `queryRunner` is set inside `dataSource.transaction(...)`. */
export interface EntityManagerLike {
  readonly queryRunner?: QueryRunnerLike | undefined;
  query(text: string, values?: unknown[]): Promise<unknown>;
  getRepository(target: never): unknown;
}

/** A connected `pg` client (not a pool) on which `BEGIN` was run. */
export interface PgClientLike {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[]; rowCount?: number | null }>;
}

/** The caller's open transaction: an `EntityManager`, a `QueryRunner` or a `pg` client. By shape, so no driver is in our types. */
export type TransactionLike = EntityManagerLike | QueryRunnerLike | PgClientLike;

/** One open transaction of the caller, whatever it came as. */
export interface AdaptedTransaction extends Queryable {
  /** The `DataSource` behind it, to compare by identity; `undefined` for a `pg` client. */
  readonly dataSource: object | undefined;
  /**
   * Runs `hook` once after the outermost commit, never after a rollback, not even of the savepoint that was open when it was registered.
   * It must not throw: the commit has happened, so what it throws becomes a process warning. Returns false where the driver tells nobody of
   * commits (a `pg` client): the caller then needs another way, such as `pg_notify` inside the transaction.
   */
  afterCommit(hook: () => void): boolean;
}

/**
 * @throws NotInTransactionError when no transaction is open on it, or when it is a pool or a `DataSource`, each of whose statements may
 * run on another connection.
 */
export async function adaptTransaction(transaction: TransactionLike): Promise<AdaptedTransaction> {
  const given = transaction as unknown as Record<string, unknown>;
  if (typeof given !== 'object' || given === null || typeof given['query'] !== 'function')
    throw new NotInTransactionError('transaction must be an EntityManager, a QueryRunner or a connected pg client.');
  if (typeof given['createQueryRunner'] === 'function')
    throw new NotInTransactionError('transaction is a DataSource; pass the manager of dataSource.transaction(...).');
  if (typeof given['totalCount'] === 'number')
    throw new NotInTransactionError('transaction is a pool; pass the one client on which BEGIN was run.');
  if (typeof given['isTransactionActive'] === 'boolean') return adaptQueryRunner(given as unknown as QueryRunnerLike);
  if (typeof given['getRepository'] === 'function') {
    const { queryRunner } = given as unknown as EntityManagerLike;
    if (queryRunner === undefined)
      throw new NotInTransactionError(
        'the EntityManager is not in a transaction; pass the manager of dataSource.transaction(...).',
      );
    return adaptQueryRunner(queryRunner);
  }
  if (typeof given['createQueryBuilder'] === 'function')
    throw new NotInTransactionError(
      'transaction is a Repository; pass the manager of dataSource.transaction(...), from which it came.',
    );
  return adaptPgClient(given as unknown as PgClientLike);
}

function adaptQueryRunner(runner: QueryRunnerLike): AdaptedTransaction {
  if (!runner.isTransactionActive)
    throw new NotInTransactionError('no transaction is open on the QueryRunner; call startTransaction() first.');
  const dataSource = dataSourceOf(runner);
  return {
    dataSource,
    query: async <Row>(text: string, values: readonly unknown[] = []): Promise<QueryOutcome<Row>> => {
      const { records, affected } = (await runner.query(text, [...values], true)) as {
        records?: Row[];
        affected?: number | null;
      };
      return { rows: records ?? [], rowCount: affected ?? records?.length ?? 0 };
    },
    afterCommit: (hook) => registerCommitHook(runner, dataSource, hook),
  };
}

async function adaptPgClient(client: PgClientLike): Promise<AdaptedTransaction> {
  const query = async <Row>(text: string, values: readonly unknown[] = []): Promise<QueryOutcome<Row>> => {
    const { rows, rowCount } = await client.query(text, [...values]);
    return { rows: rows as Row[], rowCount: rowCount ?? rows.length };
  };
  if (!(await isInTransaction(client)))
    throw new NotInTransactionError('no transaction is open on the pg client; run BEGIN on it first.');
  return { dataSource: undefined, query, afterCommit: () => false };
}

/** Newer `pg` knows the state from the protocol; on older ones only a statement that is refused outside a block can tell. */
async function isInTransaction(client: PgClientLike): Promise<boolean> {
  const { getTransactionStatus } = client as { getTransactionStatus?: () => string | null };
  if (typeof getTransactionStatus === 'function') {
    // null: not connected, and a query would wait for ever. A failed transaction (E) is open: its next statement says what is wrong.
    const status = getTransactionStatus.call(client);
    return status === 'T' || status === 'E';
  }
  try {
    await client.query('SAVEPOINT baton_probe');
    await client.query('RELEASE SAVEPOINT baton_probe');
    return true;
  } catch (error) {
    if ((error as { code?: unknown } | null)?.code === '25P01') return false;
    throw error;
  }
}

interface SubscriberEvent {
  readonly queryRunner: QueryRunnerLike & { readonly transactionDepth?: number };
}

interface QueryEvent extends SubscriberEvent {
  readonly query?: unknown;
  readonly rawResults?: unknown;
}

interface DataSourceLike {
  readonly subscribers: object[];
}

interface CommitHook {
  /** 1 in the transaction itself, one more in each savepoint. */
  readonly depth: number;
  readonly run: () => void;
}

const hooksByRunner = new WeakMap<QueryRunnerLike, readonly CommitHook[]>();

/** TypeORM tells subscribers of savepoints with the same events; only then is the transaction still active. */
const commitSubscriber = {
  /** A transaction that ended without telling us, because another subscriber threw, must not leave its hooks to the next one. */
  beforeTransactionStart({ queryRunner }: SubscriberEvent): void {
    if (queryRunner.transactionDepth === 0) hooksByRunner.delete(queryRunner);
  },
  /** Postgres answers COMMIT of a failed transaction with success and the tag ROLLBACK; TypeORM then reports a commit. */
  afterQuery({ queryRunner, query, rawResults }: QueryEvent): void {
    if (query !== 'COMMIT') return;
    if ((rawResults as { command?: unknown } | undefined)?.command === 'ROLLBACK') hooksByRunner.delete(queryRunner);
  },
  afterTransactionCommit({ queryRunner }: SubscriberEvent): void {
    const hooks = hooksByRunner.get(queryRunner);
    if (hooks === undefined) return;
    if (queryRunner.isTransactionActive) {
      const { transactionDepth: depth = Infinity } = queryRunner;
      hooksByRunner.set(
        queryRunner,
        hooks.map((hook) => (hook.depth > depth ? { ...hook, depth } : hook)),
      );
      return;
    }
    hooksByRunner.delete(queryRunner);
    for (const { run } of hooks) guardedCall('a hook after commit', run);
  },
  afterTransactionRollback({ queryRunner }: SubscriberEvent): void {
    const hooks = hooksByRunner.get(queryRunner);
    if (hooks === undefined) return;
    const depth = queryRunner.isTransactionActive ? (queryRunner.transactionDepth ?? Infinity) : 0;
    hooksByRunner.set(
      queryRunner,
      hooks.filter((hook) => hook.depth <= depth),
    );
  },
};

function registerCommitHook(runner: QueryRunnerLike, dataSource: object | undefined, hook: () => void): boolean {
  const subscribers = (dataSource as DataSourceLike | undefined)?.subscribers;
  if (!Array.isArray(subscribers)) return false;
  // Checked each time: initialize() of a DataSource replaces the list.
  if (!subscribers.includes(commitSubscriber)) subscribers.push(commitSubscriber);
  const { transactionDepth: depth = 1 } = runner as SubscriberEvent['queryRunner'];
  hooksByRunner.set(runner, [...(hooksByRunner.get(runner) ?? []), { depth, run: hook }]);
  return true;
}

/** TypeORM 1 calls it `dataSource`, TypeORM 0.3 `connection`. */
function dataSourceOf(runner: QueryRunnerLike): object | undefined {
  const { dataSource, connection } = runner as { dataSource?: object; connection?: object };
  return dataSource ?? connection;
}
