import { readTestingEnvironment } from '../environment.js';
import { BackendUnavailableError } from '../testing.errors.js';

/** The Postgres that all suites of this run share, for a superuser; take `freshDatabase()` in it, and disturb no other connection. */
export function sharedPostgresUrl(): string {
  return shared(readTestingEnvironment().runDatabaseUrl, 'TEST_RUN_DATABASE_URL');
}

/** The Redis that all suites of this run share: use keys under a prefix of your own, never flush it, never change its configuration. */
export function sharedRedisUrl(): string {
  return shared(readTestingEnvironment().runRedisUrl, 'TEST_RUN_REDIS_URL');
}

function shared(url: string | undefined, variable: string): string {
  if (url !== undefined) return url;
  throw new BackendUnavailableError(
    `${variable} is not set: the run's set-up starts the shared servers and sets it. Is globalSetup configured, or is this no test?`,
  );
}
