import { MigrationsPendingError } from '../errors.js';
import { type Queryable, quoteIdentifier } from './queryable.js';

/** One step of a lib's schema. Never edited once released: the next change is the next migration. */
export interface Migration {
  /** Sortable and unique in its lib: `0001-streams`. */
  readonly name: string;
  /** Statements for `schema`, a quoted identifier; run in order, in one transaction. */
  readonly statements: (schema: string) => readonly string[];
}

export interface MigrationPlan {
  readonly schema: string;
  /** The lib's own table of what was applied, in `schema`: `pg_stream_migrations`. */
  readonly table: string;
  readonly migrations: readonly Migration[];
  /** `auto` applies what is missing; `verify` throws when something is; `off` looks at nothing. */
  readonly mode: 'auto' | 'verify' | 'off';
}

/**
 * Brings the schema up to date on `session`, which must be one connection and not a pool: a session lock makes any number of processes
 * that start together run each migration once.
 *
 * @throws MigrationsPendingError in mode `verify` when the database is behind.
 * @returns the names applied by this call.
 */
export async function runMigrations(session: Queryable, plan: MigrationPlan): Promise<readonly string[]> {
  if (plan.mode === 'off') return [];
  if (plan.mode === 'verify') return verify(session, plan);
  // The lock is global to the database and not per lib: two libs create the same schema, and CREATE SCHEMA IF NOT EXISTS can race.
  await session.query(`SELECT pg_advisory_lock(hashtext('baton:migrations'))`);
  try {
    return await applyMissing(session, plan);
  } finally {
    // A lost connection has released the lock already, and its own error is the one to report.
    await session.query(`SELECT pg_advisory_unlock(hashtext('baton:migrations'))`).catch(() => undefined);
  }
}

async function verify(session: Queryable, plan: MigrationPlan): Promise<readonly string[]> {
  const applied = await readApplied(session, plan);
  const missing = plan.migrations.filter(({ name }) => !applied.has(name)).map(({ name }) => name);
  if (missing.length === 0) return [];
  throw new MigrationsPendingError(
    `The schema "${plan.schema}" lacks ${missing.length} migration(s) of ${plan.table}: ${missing.join(', ')}. ` +
      `Start one process with migrations: 'auto', or apply them by hand, before starting with 'verify'.`,
  );
}

async function applyMissing(session: Queryable, plan: MigrationPlan): Promise<readonly string[]> {
  const schema = quoteIdentifier(plan.schema);
  const table = `${schema}.${quoteIdentifier(plan.table)}`;
  await session.query(`CREATE SCHEMA IF NOT EXISTS ${schema}`);
  await session.query(
    `CREATE TABLE IF NOT EXISTS ${table} (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())`,
  );
  const applied = await readApplied(session, plan);
  const names: string[] = [];
  for (const migration of plan.migrations) {
    if (applied.has(migration.name)) continue;
    await session.query('BEGIN');
    try {
      for (const statement of migration.statements(schema)) await session.query(statement);
      await session.query(`INSERT INTO ${table} (name) VALUES ($1)`, [migration.name]);
      await session.query('COMMIT');
    } catch (error) {
      await session.query('ROLLBACK');
      throw error;
    }
    names.push(migration.name);
  }
  return names;
}

async function readApplied(session: Queryable, plan: MigrationPlan): Promise<ReadonlySet<string>> {
  const table = `${quoteIdentifier(plan.schema)}.${quoteIdentifier(plan.table)}`;
  const { rows: found } = await session.query<{ oid: string | null }>(`SELECT to_regclass($1)::text AS oid`, [table]);
  if (found[0]?.oid == null) return new Set();
  const { rows } = await session.query<{ name: string }>(`SELECT name FROM ${table}`);
  return new Set(rows.map(({ name }) => name));
}
