import {
  isVersionAtLeast,
  type Queryable,
  type QueryOutcome,
  quoteIdentifier,
  runMigrations,
  ServerUnsupportedError,
  sqlState,
  surviveLostConnections,
  systemClock,
} from '@nest-baton/core';
import { createHash } from 'node:crypto';
import type pg from 'pg';
import { type DataSource, QueryFailedError, type QueryRunner } from 'typeorm';
import { MIGRATIONS } from './migrations.js';

const OLDEST_POSTGRES = '14';
const READ_ONLY = '25006';

export interface OutboxDatabaseOptions {
  readonly schema: string;
  readonly migrations: 'auto' | 'verify' | 'off';
}

/** No such prepared statement, one of that name already, a plan that does not fit the table any more. */
const PLAN_LOST = ['26000', '42P05', '0A000'];

const PLAN_USES = 200;
const PLAN_LIFE_MS = 5_000;

/** How TypeORM drops a connection instead of giving it back to the pool; it does so itself once the connection tells of its end. */
interface Droppable {
  releasePostgresConnection?(reason: unknown): Promise<void>;
}

/**
 * The user's `DataSource` as this module uses it: one statement at a time, each on a connection of the pool, never inside a transaction
 * that is held while something else is awaited.
 */
export class OutboxDatabase implements Queryable {
  readonly schema: string;
  private source: DataSource | undefined;
  private prepared: Promise<void> | undefined;

  constructor(
    private readonly options: OutboxDatabaseOptions,
    private readonly findDataSource: () => DataSource,
  ) {
    this.schema = quoteIdentifier(options.schema);
  }

  /** @throws what Nest throws when there is no such `DataSource`. */
  get dataSource(): DataSource {
    return (this.source ??= this.findDataSource());
  }

  /**
   * Resolves when the schema is ready; the first call checks and migrates, the others wait for it. A failure is not kept: the next call
   * tries again.
   *
   * @throws ServerUnsupportedError | MigrationsPendingError
   */
  prepare(): Promise<void> {
    this.prepared ??= this.migrate().catch((error: unknown) => {
      this.prepared = undefined;
      throw error;
    });
    return this.prepared;
  }

  async query<Row>(text: string, values: readonly unknown[] = []): Promise<QueryOutcome<Row>> {
    return this.withRunner((runner) => runQuery<Row>(runner, text, values));
  }

  /**
   * As `query`, for the few statements that are repeated all day: each connection parses and plans them once, which otherwise costs more than
   * running them. A pooler that gives each statement another connection (PgBouncer by transaction, before 1.21) makes them fail before they do
   * anything: then they are repeated, and from then on sent, without.
   */
  readonly repeated: Queryable = {
    query: <Row>(text: string, values: readonly unknown[] = []) =>
      this.withRunner((runner) => this.repeatedOn(runner).query<Row>(text, values)),
  };

  /** The same on a connection that is held already, outside a transaction: in one, what fails could not be repeated. */
  repeatedOn(runner: QueryRunner): Queryable {
    return {
      query: async <Row>(text: string, values: readonly unknown[] = []) => {
        if (!this.keepsPlans) return runQuery<Row>(runner, text, values);
        try {
          return await this.runPrepared<Row>(runner, text, values);
        } catch (error) {
          if (!PLAN_LOST.includes(sqlState(error) ?? '')) throw error;
          this.keepsPlans = false;
          return runQuery<Row>(runner, text, values);
        }
      },
    };
  }
  private keepsPlans = true;
  private readonly plans = new WeakMap<object, { uses: number; sinceMs: number }>();
  private readonly names = new Map<string, string>();

  /** Plans are made anew now and then: one that was made for an empty table reads all of it when it has grown, until it is next analysed. */
  private async runPrepared<Row>(
    runner: QueryRunner,
    text: string,
    values: readonly unknown[],
  ): Promise<QueryOutcome<Row>> {
    const client = (await runner.connect()) as pg.ClientBase;
    const now = systemClock.monotonic();
    const plans = this.plans.get(client) ?? { uses: 0, sinceMs: now };
    if (plans.uses++ >= PLAN_USES && now - plans.sinceMs >= PLAN_LIFE_MS) {
      await client.query('DISCARD PLANS');
      plans.uses = 0;
      plans.sinceMs = now;
    }
    this.plans.set(client, plans);
    return this.runNamed<Row>(client, runner, text, [...values]);
  }

  /** TypeORM has no statements with names; its logger, its subscribers and whoever catches an error see this one as every other. */
  private async runNamed<Row>(
    client: pg.ClientBase,
    runner: QueryRunner,
    text: string,
    values: unknown[],
  ): Promise<QueryOutcome<Row>> {
    const { broadcaster } = runner;
    const { logger } = this.dataSource;
    logger.logQuery(text, values, runner);
    await broadcaster.broadcast('BeforeQuery', text, values);
    const begun = systemClock.monotonic();
    try {
      const result = await client.query({ name: this.nameOf(text), text, values });
      await broadcaster.broadcast('AfterQuery', text, values, true, systemClock.monotonic() - begun, result, undefined);
      return { rows: result.rows as Row[], rowCount: result.rowCount ?? result.rows.length };
    } catch (error) {
      logger.logQueryError(error as Error, text, values, runner);
      await broadcaster.broadcast('AfterQuery', text, values, false, undefined, undefined, error);
      throw new QueryFailedError(text, values, error as Error);
    }
  }

  /** Of the text, so that two versions of this module behind one pooler never mean different statements by one name. */
  private nameOf(text: string): string {
    const known = this.names.get(text);
    if (known !== undefined) return known;
    const name = `baton_${createHash('sha256').update(text).digest('hex').slice(0, 24)}`;
    this.names.set(text, name);
    return name;
  }

  /** All that `work` writes, or nothing. */
  transaction<T>(work: (on: Queryable) => Promise<T>): Promise<T> {
    return this.withRunner(async (runner) => {
      await runner.startTransaction();
      try {
        const value = await work({ query: (text, values) => runQuery(runner, text, values) });
        await runner.commitTransaction();
        return value;
      } catch (error) {
        if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined);
        throw error;
      }
    });
  }

  /** Connects first, so that `work` knows: what fails inside it may have reached the server. */
  async withRunner<T>(work: (runner: QueryRunner) => Promise<T>): Promise<T> {
    surviveLostConnections((this.dataSource.driver as { readonly master?: unknown }).master);
    const runner: QueryRunner & Droppable = this.dataSource.createQueryRunner();
    try {
      await runner.connect();
      return await work(runner);
    } catch (error) {
      // The server says farewell before it hangs up: given back in between, the connection would fail whoever comes next.
      if (isFarewell(error)) await runner.releasePostgresConnection?.(error).catch(() => undefined);
      throw error;
    } finally {
      // A connection that was lost cannot be released in good order; the pool has dropped it already.
      await runner.release().catch(() => undefined);
    }
  }

  private async migrate(): Promise<void> {
    await this.withRunner(async (runner) => {
      const session: Queryable = { query: (text, values) => runQuery(runner, text, values) };
      const { rows } = await session.query<{ server_version: string }>('SHOW server_version');
      const version = rows[0]?.server_version ?? '';
      if (!isVersionAtLeast(version, OLDEST_POSTGRES))
        throw new ServerUnsupportedError(
          `WebhookOutboxModule needs Postgres ${OLDEST_POSTGRES} or newer; the server reports '${version}'.`,
        );
      await runMigrations(session, {
        schema: this.options.schema,
        table: 'webhook_outbox_migrations',
        migrations: MIGRATIONS,
        mode: this.options.migrations,
      });
    });
  }
}

/**
 * The administrator's command, a crash, a server that starts or stops; or one that only reads since somebody else has taken over, and whose connections the
 * pool would hand out for ever.
 */
function isFarewell(error: unknown): boolean {
  const state = sqlState(error);
  return state?.startsWith('57P') === true || state === READ_ONLY;
}

/** The structured form, since the plain one differs between SELECT and UPDATE and drops the row count. */
export async function runQuery<Row>(
  runner: QueryRunner,
  text: string,
  values: readonly unknown[] = [],
): Promise<QueryOutcome<Row>> {
  const { records, affected } = (await runner.query(text, [...values], true)) as {
    records?: Row[];
    affected?: number | null;
  };
  return { rows: records ?? [], rowCount: affected ?? records?.length ?? 0 };
}
