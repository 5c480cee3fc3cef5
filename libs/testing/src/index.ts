// Backends
export {
  type BackendFilter,
  type ExclusivePostgres,
  type ExclusivePostgresOptions,
  type PostgresServer,
  startPostgres,
} from './postgres/start-postgres.js';
export type { PostgresSettings } from './postgres/local-postgres.js';
export { type ExclusiveRedis, type RedisServer, startRedis } from './redis/start-redis.js';

// What the suites of a run share
export { type FreshDatabase, freshDatabase } from './postgres/fresh-database.js';
export { sharedPostgresUrl, sharedRedisUrl } from './backends/shared-backends.js';

// Waiting and holding
export { waitFor, type WaitOptions } from './waiting/wait-for.js';
export { Gate, openGate } from './waiting/gate.js';

// Processes and ports
export { freePort } from './processes/free-port.js';

// Errors
export { BackendFailedError, BackendUnavailableError, ProcessEndedError, WaitTimeoutError } from './testing.errors.js';
