import {
  type Backoff,
  type Duration,
  type Environment,
  type EnvironmentVariable,
  OptionsCheck,
  readEnvironment,
} from '@nest-baton/core';
import { checkConnection, type ResolvedConnection } from './connecting/check-connection.js';
import type { RedisConnectionOptions } from './connecting/connection-source.js';
import { MAX_PARTITIONS } from './partitions/partition-of.js';
import { ConsumerIdMissingError } from './redis-reconcile.errors.js';

export interface RecoveryOptions {
  /**
   * Between two looks at the pending entries. Shorter finds orphans sooner and costs two calls a look.
   * Default 60 s while expiry events arrive, else half a lease, at least 5 s. From 100 ms.
   */
  readonly interval?: Duration;
  /** How long nobody must have touched an entry before a look asks for its owner. Default 30 s while expiry events arrive, else a lease. At least a lease. */
  readonly minIdle?: Duration;
  /** Entries a look takes at a time. Larger means fewer calls and longer scripts. Default 50, 1 to 500. */
  readonly batchSize?: number;
  /** Attempts after the first one, before a hand-off is given up. Default 3; 0: the first failure is the last. */
  readonly maxRetries?: number;
  /** Suffix of the key for what was given up. Default `dlq`. */
  readonly dlqStream?: string;
  /** Most dead letters kept in a partition; the oldest that were handled go first. Default 10 000; 0: no cap. */
  readonly dlqMaxLen?: number;
}

export interface NackBackoffOptions {
  /** Before the second attempt; doubled for each further one, with jitter. Default 1 s. */
  readonly base?: Duration;
  /** No back-off is longer. Default 60 s. */
  readonly cap?: Duration;
}

export interface RedisReconcileOptions {
  /** Where Redis is, at least 6.2: a URL, some of a cluster's nodes, or an ioredis client, which is duplicated and never closed. */
  readonly connection: RedisConnectionOptions;
  /**
   * `cluster`: OSS Redis Cluster; of `connection.url` it makes the node to find the others from. Default: what `connection` says. The wrong one is
   * refused at start.
   */
  readonly topology?: 'single' | 'cluster';
  /** What all keys begin with; processes with one service share its work. Default: the instance's name. No braces, no white space, at most 100 bytes. */
  readonly service?: string;
  /** How many streams the work is spread over. Stored at first start; changed by `repartition()`. Default 1, in a cluster 8; at most 1 024. */
  readonly partitions?: number;
  /**
   * How long an owner may be silent before its work goes to somebody else. Renewed at a third of it. Too small: a long pause of the event loop
   * costs the ownership; too large: the work of a dead process waits. Default 10 s, 1 s to 1 h.
   */
  readonly lease?: Duration;
  readonly recovery?: RecoveryOptions;
  readonly nackBackoff?: NackBackoffOptions;
  /**
   * Expiry events make recovery faster, and nothing depends on them. `auto` (default) merges the flags they need into the server's, or warns
   * and scans; `require` refuses to start without; `verify` never changes the server; `off` does not listen.
   */
  readonly keyspaceEvents?: 'auto' | 'require' | 'verify' | 'off';
  /** `off`: no expiry events and no kicks inside the process; the scan finds everything. Default `on`. */
  readonly hints?: 'on' | 'off';
  /**
   * `release` (default) aborts handlers at shutdown and hands their work back; `drain` lets them finish first; `ack-unfinished` aborts them and
   * acknowledges what is unfinished as if it were done: it is lost on purpose, logged and reported as abandoned.
   */
  readonly shutdown?: 'release' | 'drain' | 'ack-unfinished';
  /** How long shutdown waits for handlers. What is left is handed back while it runs. Default 10 s, at most 10 min. */
  readonly shutdownTimeout?: Duration;
  /** How long `dedupeId` is remembered. Default 10 min, 1 s to 7 d. */
  readonly dedupeWindow?: Duration;
  /** Names this process to others; made unique for each start. Required: from the environment it is `POD_NAME` or `POD_IP`. At most 200 bytes. */
  readonly consumerId?: string;
  /** How long a command may take. Too small: a slow server looks dead. Default 2 s, 50 ms to 60 s. */
  readonly commandTimeout?: Duration;
  /** How long one blocking read waits on the server; a read that is this long and a command timeout overdue gets a new connection. Default 5 s, 10 ms to 60 s. */
  readonly block?: Duration;
}

export interface ResolvedRedisReconcileOptions {
  readonly connection: ResolvedConnection;
  readonly service: string;
  readonly partitions: number;
  readonly leaseMs: number;
  /** `undefined` interval and least idle time: as the coverage by expiry events allows. */
  readonly recovery: {
    readonly intervalMs: number | undefined;
    readonly minIdleMs: number | undefined;
    readonly batchSize: number;
    readonly maxRetries: number;
    readonly dlqStream: string;
    readonly dlqMaxLen: number;
  };
  readonly nackBackoff: Backoff;
  readonly keyspaceEvents: 'auto' | 'require' | 'verify' | 'off';
  readonly hints: 'on' | 'off';
  readonly shutdown: 'release' | 'drain' | 'ack-unfinished';
  readonly shutdownTimeoutMs: number;
  readonly dedupeWindowMs: number;
  readonly consumerId: string;
  readonly commandTimeoutMs: number;
  readonly blockMs: number;
}

export const DEFAULTS = Object.freeze({
  partitions: 1,
  partitionsOfCluster: 8,
  lease: '10s',
  batchSize: 50,
  maxRetries: 3,
  dlqStream: 'dlq',
  dlqMaxLen: 10_000,
  nackBase: '1s',
  nackCap: '60s',
  keyspaceEvents: 'auto',
  hints: 'on',
  shutdown: 'release',
  shutdownTimeout: '10s',
  dedupeWindow: '10m',
  commandTimeout: '2s',
  block: '5s',
} as const);

const PREFIX = 'BATON_REDIS_RECONCILE_';

/** Every variable that `redisReconcileOptionsFromEnv` reads, `POD_NAME` and `POD_IP` aside. */
export const REDIS_RECONCILE_ENVIRONMENT: readonly EnvironmentVariable[] = [
  { variable: `${PREFIX}URL`, option: 'connection.url', kind: 'string' },
  { variable: `${PREFIX}CLUSTER`, option: 'connection.cluster', kind: 'list' },
  { variable: `${PREFIX}TOPOLOGY`, option: 'topology', kind: 'string' },
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

const KNOWN = [
  'connection',
  'topology',
  'service',
  'partitions',
  'lease',
  'recovery',
  'nackBackoff',
  'keyspaceEvents',
  'hints',
  'shutdown',
  'shutdownTimeout',
  'dedupeWindow',
  'consumerId',
  'commandTimeout',
  'block',
] as const;

/**
 * The only way from what a person wrote to what the code reads.
 *
 * @throws OptionsInvalidError naming everything wrong; ConsumerIdMissingError when there is no consumer id.
 */
export function resolveRedisReconcileOptions(
  options: RedisReconcileOptions,
  instance = 'default',
): ResolvedRedisReconcileOptions {
  const check = new OptionsCheck<RedisReconcileOptions>('RedisReconcileModule', options, KNOWN);
  const service = check.string('service', instance);
  check.rule(
    !/[{}\s]/.test(service) && Buffer.byteLength(service) <= 100,
    'service must have no braces and no white space, and at most 100 bytes',
  );
  const leaseMs = check.duration('lease', DEFAULTS.lease, { min: 1000, max: 3_600_000 });
  const connection = checkConnection(check, options, topologyOf(check, options));
  const partitions = connection.topology === 'cluster' ? DEFAULTS.partitionsOfCluster : DEFAULTS.partitions;
  const resolved = {
    connection,
    service,
    partitions: check.integer('partitions', partitions, { min: 1, max: MAX_PARTITIONS }),
    leaseMs,
    recovery: resolveRecovery(check, options?.recovery, leaseMs),
    nackBackoff: resolveNackBackoff(check, options?.nackBackoff),
    keyspaceEvents: check.oneOf('keyspaceEvents', DEFAULTS.keyspaceEvents, ['auto', 'require', 'verify', 'off']),
    hints: check.oneOf('hints', DEFAULTS.hints, ['on', 'off']),
    shutdown: check.oneOf('shutdown', DEFAULTS.shutdown, ['release', 'drain', 'ack-unfinished']),
    shutdownTimeoutMs: check.duration('shutdownTimeout', DEFAULTS.shutdownTimeout, { max: 600_000 }),
    dedupeWindowMs: check.duration('dedupeWindow', DEFAULTS.dedupeWindow, { min: 1000, max: 7 * 86_400_000 }),
    consumerId: options?.consumerId === undefined ? '' : check.string('consumerId'),
    commandTimeoutMs: check.duration('commandTimeout', DEFAULTS.commandTimeout, { min: 50, max: 60_000 }),
    blockMs: check.duration('block', DEFAULTS.block, { min: 10, max: 60_000 }),
  };
  check.rule(Buffer.byteLength(resolved.consumerId) <= 200, 'consumerId must have at most 200 bytes');
  check.rule(
    !(resolved.hints === 'off' && options?.keyspaceEvents === 'require'),
    "keyspaceEvents 'require' contradicts hints 'off', which listens to no events",
  );
  check.finish();
  if (resolved.consumerId === '')
    throw new ConsumerIdMissingError(
      'RedisReconcileModule has no consumerId: set it, or POD_NAME or POD_IP where options are read from the environment.',
    );
  return Object.freeze(resolved);
}

function topologyOf(
  check: OptionsCheck<RedisReconcileOptions>,
  options: RedisReconcileOptions | undefined,
): 'single' | 'cluster' | undefined {
  return options?.topology === undefined ? undefined : check.oneOf('topology', 'single', ['single', 'cluster']);
}

function resolveRecovery(
  parent: OptionsCheck<RedisReconcileOptions>,
  options: RecoveryOptions | undefined,
  leaseMs: number,
): ResolvedRedisReconcileOptions['recovery'] {
  const known = ['interval', 'minIdle', 'batchSize', 'maxRetries', 'dlqStream', 'dlqMaxLen'] as const;
  const check = new OptionsCheck<RecoveryOptions>('recovery', options, known);
  const { interval, minIdle } = options ?? {};
  const recovery = {
    intervalMs: interval === undefined ? undefined : check.duration('interval', 0, { min: 100, max: 86_400_000 }),
    minIdleMs: minIdle === undefined ? undefined : check.duration('minIdle', 0, { max: 86_400_000 }),
    batchSize: check.integer('batchSize', DEFAULTS.batchSize, { min: 1, max: 500 }),
    maxRetries: check.integer('maxRetries', DEFAULTS.maxRetries, { max: 1_000_000 }),
    dlqStream: check.string('dlqStream', DEFAULTS.dlqStream),
    dlqMaxLen: check.integer('dlqMaxLen', DEFAULTS.dlqMaxLen, { max: 100_000_000 }),
  };
  check.rule(
    recovery.minIdleMs === undefined || recovery.minIdleMs >= leaseMs,
    `minIdle must be at least the lease, ${leaseMs} ms, not ${recovery.minIdleMs} ms: it would suspect owners that renew in time`,
  );
  check.rule(
    /^[\w-]{1,50}$/.test(recovery.dlqStream) && !RESERVED_SUFFIXES.includes(recovery.dlqStream),
    `dlqStream must be 1 to 50 letters, digits, '-' or '_', and none of ${RESERVED_SUFFIXES.join(', ')}`,
  );
  for (const problem of check.problems) parent.problem(`recovery.${problem}`);
  return Object.freeze(recovery);
}

const RESERVED_SUFFIXES = [
  'handoffs',
  'owned',
  'fence',
  'waiting',
  'revoked',
  'lease',
  'dedupe',
  'layout',
  'guards',
  'arrived',
];

function resolveNackBackoff(
  parent: OptionsCheck<RedisReconcileOptions>,
  options: NackBackoffOptions | undefined,
): Backoff {
  const check = new OptionsCheck<NackBackoffOptions>('nackBackoff', options, ['base', 'cap']);
  const baseMs = check.duration('base', DEFAULTS.nackBase, { min: 1, max: 86_400_000 });
  const capMs = check.duration('cap', DEFAULTS.nackCap, { min: 1, max: 86_400_000 });
  check.rule(capMs >= baseMs, `cap must be at least base, ${baseMs} ms, not ${capMs} ms`);
  for (const problem of check.problems) parent.problem(`nackBackoff.${problem}`);
  return Object.freeze({ baseMs, factor: 2, capMs, jitter: 'equal' });
}
