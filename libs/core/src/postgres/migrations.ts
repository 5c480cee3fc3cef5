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

/** Global to the database and not per lib: two libs create the same schema, and `CREATE SCHEMA IF NOT EXISTS` can race. */
const LOCK = `hashtext('baton:migrations')`;

/**
 * Brings the schema up to date on `session`, which must be one connection and not a pool: a session lock makes any number of processes
 * that start together run each migration once.
 *
 * - Each migration and its record are one transaction: one that fails leaves nothing behind, those before it stay.
 * - A database that is up to date is only read: no lock is taken and no right to create anything is needed.
 * - What a newer version applied is left alone, so that two versions run side by side while an upgrade rolls.
 *
 * @throws MigrationsPendingError in mode `verify` when the database is behind.
 * @returns the names applied by this call.
 */
export async function runMigrations(session: Queryable, plan: MigrationPlan): Promise<readonly string[]> {
  if (plan.mode === 'off') return [];
  const missing = await readMissing(session, plan);
  if (missing.length === 0) return [];
  if (plan.mode === 'verify') throw pending(plan, missing);
  await session.query(`SELECT pg_advisory_lock(${LOCK})`);
  try {
    return await applyMissing(session, plan);
  } finally {
    // A lost connection has released the lock already, and its own error is the one to report.
    await session.query(`SELECT pg_advisory_unlock(${LOCK})`).catch(() => undefined);
  }
}

function pending(plan: MigrationPlan, missing: readonly Migration[]): MigrationsPendingError {
  return new MigrationsPendingError(
    `The schema "${plan.schema}" lacks ${missing.length} migration(s) of ${plan.table}: ${missing.map(({ name }) => name).join(', ')}. ` +
      `Start one process with migrations: 'auto', or apply them by hand, before starting with 'verify'.`,
  );
}

async function applyMissing(session: Queryable, plan: MigrationPlan): Promise<readonly string[]> {
  const schema = quoteIdentifier(plan.schema);
  const table = `${schema}.${quoteIdentifier(plan.table)}`;
  await createWhereMissing(session, plan, schema, table);
  const names: string[] = [];
  // Read again under the lock: whoever held it before has applied them.
  for (const { name, statements } of await readMissing(session, plan)) {
    await session.query('BEGIN');
    try {
      for (const statement of statements(schema)) await session.query(statement);
      await session.query(`INSERT INTO ${table} (name) VALUES ($1)`, [name]);
      await session.query('COMMIT');
    } catch (error) {
      // On a lost connection this fails too; the reason is the first error.
      await session.query('ROLLBACK').catch(() => undefined);
      throw error;
    }
    names.push(name);
  }
  return names;
}

/** Looks first: `CREATE SCHEMA IF NOT EXISTS` needs the right to create schemas also where the schema exists. */
async function createWhereMissing(
  session: Queryable,
  plan: MigrationPlan,
  schema: string,
  table: string,
): Promise<void> {
  const { rows } = await session.query(`SELECT FROM pg_namespace WHERE nspname = $1`, [plan.schema]);
  if (rows.length === 0) await session.query(`CREATE SCHEMA IF NOT EXISTS ${schema}`);
  if (await exists(session, table)) return;
  await session.query(
    `CREATE TABLE IF NOT EXISTS ${table} (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())`,
  );
}

async function readMissing(session: Queryable, plan: MigrationPlan): Promise<readonly Migration[]> {
  const table = `${quoteIdentifier(plan.schema)}.${quoteIdentifier(plan.table)}`;
  if (!(await exists(session, table))) return plan.migrations;
  const { rows } = await session.query<{ name: string }>(`SELECT name FROM ${table}`);
  const applied = new Set(rows.map(({ name }) => name));
  return plan.migrations.filter(({ name }) => !applied.has(name));
}

async function exists(session: Queryable, table: string): Promise<boolean> {
  const { rows } = await session.query<{ oid: string | null }>(`SELECT to_regclass($1)::text AS oid`, [table]);
  return rows[0]?.oid != null;
}
