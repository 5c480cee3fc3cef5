import {
  describeError,
  isVersionAtLeast,
  type Queryable,
  runMigrations,
  ServerUnsupportedError,
} from '@nest-baton/core';
import { StreamUnavailableError } from '../pg-stream.errors.js';
import type { ResolvedPgStreamOptions } from '../pg-stream.options.js';
import { MIGRATIONS, MIGRATIONS_TABLE } from '../schema/migrations.js';
import { isLostConnection } from './lost-connection.js';
import type { StreamDatabase } from './stream-database.js';

/** The oldest that its project still mends. */
const MINIMUM_VERSION = '14';

/**
 * Looks at the server's version and brings the schema up to date, on one connection.
 *
 * @throws StreamUnavailableError, ServerUnsupportedError or MigrationsPendingError, each with what to do.
 */
export async function prepareServer(database: StreamDatabase, options: ResolvedPgStreamOptions): Promise<void> {
  try {
    await database.session(async (session) => {
      await checkVersion(session);
      const { schema, migrations: mode } = options;
      await runMigrations(session, { schema, table: MIGRATIONS_TABLE, migrations: MIGRATIONS, mode });
    });
  } catch (error) {
    if (!isLostConnection(error)) throw error;
    throw new StreamUnavailableError(
      `PgStreamModule cannot use Postgres (${describeError(error.cause)}): check that it runs and that ` +
        `connectionString (BATON_PG_STREAM_CONNECTION_STRING) or pool leads to it.`,
      { cause: error.cause },
    );
  }
}

async function checkVersion(session: Queryable): Promise<void> {
  const { rows } = await session.query<{ version: string }>(`SELECT current_setting('server_version') AS version`);
  const version = rows[0]?.version ?? '';
  if (!isVersionAtLeast(version, MINIMUM_VERSION))
    throw new ServerUnsupportedError(
      `PgStreamModule needs Postgres ${MINIMUM_VERSION} or newer, and the server is ${version}: upgrade it, or point connectionString to another.`,
    );
}
