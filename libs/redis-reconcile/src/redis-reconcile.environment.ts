import { type Environment, type EnvironmentVariable, readEnvironment } from '@nest-baton/core';
import { ConsumerIdMissingError } from './redis-reconcile.errors.js';
import type { RedisReconcileOptions } from './redis-reconcile.options.js';

const PREFIX = 'BATON_REDIS_RECONCILE_';

/** Every variable that `redisReconcileOptionsFromEnv` reads, `POD_NAME` and `POD_IP` aside. */
export const REDIS_RECONCILE_ENVIRONMENT: readonly EnvironmentVariable[] = [
  { variable: `${PREFIX}URL`, option: 'connection.url', kind: 'string' },
  { variable: `${PREFIX}SERVICE`, option: 'service', kind: 'string' },
  { variable: `${PREFIX}PARTITIONS`, option: 'partitions', kind: 'integer' },
  { variable: `${PREFIX}LEASE`, option: 'lease', kind: 'duration' },
  { variable: `${PREFIX}RECOVERY_INTERVAL`, option: 'recovery.interval', kind: 'duration' },
  { variable: `${PREFIX}RECOVERY_MIN_IDLE`, option: 'recovery.minIdle', kind: 'duration' },
  { variable: `${PREFIX}RECOVERY_BATCH_SIZE`, option: 'recovery.batchSize', kind: 'integer' },
  { variable: `${PREFIX}RECOVERY_MAX_RETRIES`, option: 'recovery.maxRetries', kind: 'integer' },
  { variable: `${PREFIX}RECOVERY_DLQ_STREAM`, option: 'recovery.dlqStream', kind: 'string' },
  { variable: `${PREFIX}RECOVERY_DLQ_MAX_LEN`, option: 'recovery.dlqMaxLen', kind: 'integer' },
  { variable: `${PREFIX}NACK_BACKOFF_BASE`, option: 'nackBackoff.base', kind: 'duration' },
  { variable: `${PREFIX}NACK_BACKOFF_CAP`, option: 'nackBackoff.cap', kind: 'duration' },
  { variable: `${PREFIX}KEYSPACE_EVENTS`, option: 'keyspaceEvents', kind: 'string' },
  { variable: `${PREFIX}HINTS`, option: 'hints', kind: 'string' },
  { variable: `${PREFIX}SHUTDOWN`, option: 'shutdown', kind: 'string' },
  { variable: `${PREFIX}SHUTDOWN_TIMEOUT`, option: 'shutdownTimeout', kind: 'duration' },
  { variable: `${PREFIX}DEDUPE_WINDOW`, option: 'dedupeWindow', kind: 'duration' },
  { variable: `${PREFIX}CONSUMER_ID`, option: 'consumerId', kind: 'string' },
  { variable: `${PREFIX}COMMAND_TIMEOUT`, option: 'commandTimeout', kind: 'duration' },
  { variable: `${PREFIX}BLOCK`, option: 'block', kind: 'duration' },
];

/**
 * Options from the variables that are set; pure. The consumer id is its own variable, else `POD_NAME`, else `POD_IP`.
 *
 * @throws OptionsInvalidError naming each variable that cannot be read; ConsumerIdMissingError when none of the three is set.
 */
export function redisReconcileOptionsFromEnv(env: Environment): Partial<RedisReconcileOptions> {
  const options: Partial<RedisReconcileOptions> = readEnvironment(
    'RedisReconcileModule',
    env,
    REDIS_RECONCILE_ENVIRONMENT,
  );
  const consumerId = [options.consumerId, env['POD_NAME'], env['POD_IP']].find((id) => id !== undefined && id !== '');
  if (consumerId === undefined)
    throw new ConsumerIdMissingError(
      `There is no consumer id: set ${PREFIX}CONSUMER_ID, POD_NAME or POD_IP to a name of this process.`,
    );
  return { ...options, consumerId };
}
