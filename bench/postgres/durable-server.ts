import { type ExclusivePostgres, startPostgres } from '@nest-baton/testing';
import pg from 'pg';

/** A Postgres that waits for the disk, for all subjects of a run. */
export interface DurableServer {
  readonly postgres: ExclusivePostgres;
  readonly version: string;
  /** A database of its own for each subject, so that none hears the NOTIFYs of another. */
  createDatabase(name: string, options?: { readonly countsStatements?: boolean }): Promise<string>;
  /** Statements that clients have sent to a database with `countsStatements`, so far. Functions called by them do not count again. */
  statements(url: string): Promise<number>;
  /** Begins to count anew, for all databases. */
  forgetStatements(): Promise<void>;
  /** The same by their text, most frequent first, to see what they were. */
  topStatements(url: string, limit: number): Promise<readonly { readonly calls: number; readonly query: string }[]>;
  query<Row extends object>(text: string, values?: unknown[]): Promise<Row[]>;
  stop(): Promise<void>;
}

/** Large enough that no checkpoint falls into one sample and not into the other; the same for everybody. */
const SETTINGS = {
  shared_buffers: '256MB',
  max_wal_size: '4GB',
  checkpoint_timeout: '30min',
  max_connections: 300,
  shared_preload_libraries: 'pg_stat_statements',
  'pg_stat_statements.track': 'none',
} as const;

export async function startDurableServer(): Promise<DurableServer> {
  const postgres = await startPostgres({ exclusive: true, durable: true, settings: SETTINGS });
  const admin = new pg.Client({ connectionString: postgres.url });
  await admin.connect();
  const query = async <Row extends object>(text: string, values: unknown[] = []) =>
    (await admin.query<Row>(text, values)).rows;
  await query('CREATE EXTENSION pg_stat_statements');
  const [version] = await query<{ server_version: string }>('SHOW server_version');
  return {
    postgres,
    version: version?.server_version ?? 'unknown',
    query,
    async createDatabase(name, { countsStatements = false } = {}) {
      await query(`CREATE DATABASE "${name}"`);
      if (countsStatements) await query(`ALTER DATABASE "${name}" SET pg_stat_statements.track = 'top'`);
      const url = new URL(postgres.url);
      url.pathname = `/${name}`;
      await assertDurable(url.href);
      return url.href;
    },
    async statements(url) {
      const [row] = await query<{ calls: string | null }>(`SELECT sum(calls) AS calls ${OF_DATABASE}`, [nameOf(url)]);
      return Number(row?.calls ?? 0);
    },
    forgetStatements: async () => void (await query('SELECT pg_stat_statements_reset()')),
    topStatements: (url, limit) =>
      query(`SELECT calls::int, query ${OF_DATABASE} ORDER BY calls DESC LIMIT ${limit}`, [nameOf(url)]),
    async stop() {
      await admin.end();
      await postgres.stop();
    },
  };
}

const OF_DATABASE = 'FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = $1';

function nameOf(url: string): string {
  return new URL(url).pathname.slice(1);
}

/** @throws Error unless a commit in this database waits for the disk. */
export async function assertDurable(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    for (const setting of ['fsync', 'synchronous_commit', 'full_page_writes']) {
      const { rows } = await client.query<Record<string, string>>(`SHOW ${setting}`);
      if (rows[0]?.[setting] !== 'on')
        throw new Error(`${setting} is ${rows[0]?.[setting]}: the run would compare nothing`);
    }
  } finally {
    await client.end();
  }
}
