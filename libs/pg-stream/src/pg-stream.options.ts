import {
  type Duration,
  type Environment,
  type EnvironmentVariable,
  OptionsCheck,
  readEnvironment,
} from '@nest-baton/core';
import type { PgPoolLike } from './connecting/pg-pool.js';

export interface PgStreamOptions {
  /** Where Postgres is, at least version 14. Exactly one of this and `pool`. */
  readonly connectionString?: string;
  /** A `pg` pool of yours, which is never ended here. Its size bounds appends and reads together with your own use of it. */
  readonly pool?: PgPoolLike;
  /** Where LISTEN connects to, when `connectionString` leads to a transaction pooler, behind which LISTEN is never heard. Default: as the pool. */
  readonly listenConnectionString?: string;
  /** The Postgres schema of the tables. Services with different schemas do not wake each other. Default `baton`; at most 63 bytes. */
  readonly schema?: string;
  /** `auto` (default) creates and updates the tables at start, `verify` refuses to start when they are behind, `off` looks at nothing. */
  readonly migrations?: 'auto' | 'verify' | 'off';
  /** `off`: no LISTEN, no NOTIFY and no wake-up inside the process; only the poll delivers, at least every 250 ms. Default `on`. */
  readonly hints?: 'on' | 'off';
  /**
   * How other processes are told of appends. `coalesced` (default): after the commit, at most one NOTIFY in flight; a crash in between leaves their readers to
   * the poll. `transactional`: with the commit, never forgotten, but each such commit holds a lock that is global to the server, so that all
   * writers of all processes wait for each other's disk. `off`: not at all; their readers wait for their poll.
   */
  readonly notify?: 'coalesced' | 'transactional' | 'off';
  /**
   * Between two looks at all streams that are waited for, in one query, while LISTEN works; without it 250 ms, or twenty times what a look
   * costs. Shorter finds lost wake-ups sooner and costs a query each time. Default 5 s, 50 ms to 1 h; 0 never looks, and then a lost
   * wake-up waits for the next one or for a reconnect.
   */
  readonly pollInterval?: Duration;
  /** `require` (default): the start fails when LISTEN cannot be had. `degrade`: it starts on polling, and LISTEN follows when it can. */
  readonly startup?: 'require' | 'degrade';
  /** A larger chunk is refused with `CHUNK_TOO_LARGE`. Large chunks cost memory in every reader. Default 1 MiB, 1 byte to 64 MiB. */
  readonly maxChunkBytes?: number;
  /**
   * Bytes of appends that wait for their commit, 64 a chunk and a call more than they hold; beyond, an append is refused with `WRITER_QUEUE_FULL`. Too
   * small: bursts are refused; too large: they are held in memory. Default 64 MiB, 1 MiB to 1 GiB.
   */
  readonly maxPendingBytes?: number;
  /**
   * How long an append, a close or an `open` waits for a stream that somebody's transaction holds, until it is refused with `STREAM_BUSY`. Too short:
   * refused behind transactions that are merely slow; too long: callers hang. Not with `transaction`, which waits as long as its own
   * `lock_timeout` says. Default 5 s, 10 ms to 1 min.
   */
  readonly lockTimeout?: Duration;
  /** Connections for reads and opens, besides those that LISTEN and write. Too small: they wait for each other. Default 10, 1 to 1 000. Not with `pool`. */
  readonly poolSize?: number;
  /** Between comments that keep proxies from closing a quiet SSE connection. Default 15 s, up to 1 h; 0 sends none. */
  readonly heartbeat?: Duration;
  /**
   * Between two sweeps, which end the streams whose writer lease ran out, and remove what is kept no longer; a trim or a delete here begins one at once.
   * Shorter costs queries; longer, readers of a dead writer wait longer for the end. Default 10 s, 100 ms to 1 h; 0: this process never sweeps,
   * and leaves it to the others.
   */
  readonly sweepInterval?: Duration;
  /** What is kept, beside what `trim` and `delete` say. Default: everything. */
  readonly retention?: RetentionOptions;
}

/**
 * Applied to all streams of the schema by each sweep of a process that has these options; give all processes the same. Readers who are behind are told,
 * with `CURSOR_TRIMMED` or `STREAM_DELETED`.
 */
export interface RetentionOptions {
  /** A stream that has been closed for so long is deleted. Too short: readers who come back late find nothing. 1 s to 10 years. */
  readonly closedFor?: Duration;
  /** Chunks that are older are trimmed. Too short: readers who pause lose their place. 1 s to 10 years. */
  readonly maxAge?: Duration;
  /** Of a stream that holds more bytes, the oldest chunks are trimmed. Too small: readers who are slow lose their place. At least `maxChunkBytes`. */
  readonly maxBytes?: number;
}

export interface ResolvedPgStreamOptions {
  /** Exactly one of the two is there. */
  readonly connectionString: string | undefined;
  readonly pool: PgPoolLike | undefined;
  readonly listenConnectionString: string | undefined;
  readonly schema: string;
  readonly migrations: 'auto' | 'verify' | 'off';
  readonly hints: 'on' | 'off';
  readonly notify: 'coalesced' | 'transactional' | 'off';
  readonly pollIntervalMs: number;
  readonly startup: 'require' | 'degrade';
  readonly maxChunkBytes: number;
  readonly maxPendingBytes: number;
  readonly lockTimeoutMs: number;
  readonly poolSize: number;
  readonly heartbeatMs: number;
  readonly sweepIntervalMs: number;
  /** Undefined: without limit. */
  readonly retention: {
    readonly closedForMs: number | undefined;
    readonly maxAgeMs: number | undefined;
    readonly maxBytes: number | undefined;
  };
}

const DEFAULTS = Object.freeze({
  schema: 'baton',
  migrations: 'auto',
  hints: 'on',
  notify: 'coalesced',
  pollInterval: '5s',
  startup: 'require',
  maxChunkBytes: 1024 * 1024,
  maxPendingBytes: 64 * 1024 * 1024,
  lockTimeout: '5s',
  poolSize: 10,
  heartbeat: '15s',
  sweepInterval: '10s',
} satisfies PgStreamOptions);

export const PG_STREAM_ENVIRONMENT: readonly EnvironmentVariable[] = [
  { variable: 'BATON_PG_STREAM_CONNECTION_STRING', option: 'connectionString', kind: 'string' },
  { variable: 'BATON_PG_STREAM_LISTEN_CONNECTION_STRING', option: 'listenConnectionString', kind: 'string' },
  { variable: 'BATON_PG_STREAM_SCHEMA', option: 'schema', kind: 'string' },
  { variable: 'BATON_PG_STREAM_MIGRATIONS', option: 'migrations', kind: 'string' },
  { variable: 'BATON_PG_STREAM_HINTS', option: 'hints', kind: 'string' },
  { variable: 'BATON_PG_STREAM_NOTIFY', option: 'notify', kind: 'string' },
  { variable: 'BATON_PG_STREAM_POLL_INTERVAL', option: 'pollInterval', kind: 'duration' },
  { variable: 'BATON_PG_STREAM_STARTUP', option: 'startup', kind: 'string' },
  { variable: 'BATON_PG_STREAM_MAX_CHUNK_BYTES', option: 'maxChunkBytes', kind: 'integer' },
  { variable: 'BATON_PG_STREAM_MAX_PENDING_BYTES', option: 'maxPendingBytes', kind: 'integer' },
  { variable: 'BATON_PG_STREAM_LOCK_TIMEOUT', option: 'lockTimeout', kind: 'duration' },
  { variable: 'BATON_PG_STREAM_POOL_SIZE', option: 'poolSize', kind: 'integer' },
  { variable: 'BATON_PG_STREAM_HEARTBEAT', option: 'heartbeat', kind: 'duration' },
  { variable: 'BATON_PG_STREAM_SWEEP_INTERVAL', option: 'sweepInterval', kind: 'duration' },
  { variable: 'BATON_PG_STREAM_RETENTION_CLOSED_FOR', option: 'retention.closedFor', kind: 'duration' },
  { variable: 'BATON_PG_STREAM_RETENTION_MAX_AGE', option: 'retention.maxAge', kind: 'duration' },
  { variable: 'BATON_PG_STREAM_RETENTION_MAX_BYTES', option: 'retention.maxBytes', kind: 'integer' },
];

/** Pure; checked when the module resolves its options. @throws OptionsInvalidError for a text that cannot be read as its kind. */
export function pgStreamOptionsFromEnv(env: Environment): PgStreamOptions {
  return readEnvironment('PgStreamModule', env, PG_STREAM_ENVIRONMENT);
}

const KNOWN = [
  ...new Set(PG_STREAM_ENVIRONMENT.map(({ option }) => option.split('.')[0])),
  'pool',
] as (keyof PgStreamOptions)[];

const POSTGRES_URL = ['postgres:', 'postgresql:'];
const HOUR_MS = 3_600_000;
/** Ten years. */
const LONGEST_MS = 10 * 366 * 24 * HOUR_MS;

/** @throws OptionsInvalidError naming everything wrong. */
export function resolvePgStreamOptions(options: PgStreamOptions): ResolvedPgStreamOptions {
  const check = new OptionsCheck<PgStreamOptions>('PgStreamModule', options, KNOWN);
  const given: PgStreamOptions = typeof options === 'object' && options !== null ? options : {};
  const url = (key: 'connectionString' | 'listenConnectionString') =>
    given[key] === undefined ? undefined : check.url(key, POSTGRES_URL);
  const maxChunkBytes = check.integer('maxChunkBytes', DEFAULTS.maxChunkBytes, { min: 1, max: 64 * 1024 * 1024 });
  const resolved: ResolvedPgStreamOptions = {
    connectionString: url('connectionString'),
    pool: given.pool,
    listenConnectionString: url('listenConnectionString'),
    schema: check.string('schema', DEFAULTS.schema),
    migrations: check.oneOf('migrations', DEFAULTS.migrations, ['auto', 'verify', 'off']),
    hints: check.oneOf('hints', DEFAULTS.hints, ['on', 'off']),
    notify: check.oneOf('notify', DEFAULTS.notify, ['coalesced', 'transactional', 'off']),
    pollIntervalMs: check.duration('pollInterval', DEFAULTS.pollInterval, { max: HOUR_MS }),
    startup: check.oneOf('startup', DEFAULTS.startup, ['require', 'degrade']),
    maxChunkBytes,
    maxPendingBytes: check.integer('maxPendingBytes', DEFAULTS.maxPendingBytes, { min: 1024 * 1024, max: 1024 ** 3 }),
    lockTimeoutMs: check.duration('lockTimeout', DEFAULTS.lockTimeout, { min: 10, max: 60_000 }),
    poolSize: check.integer('poolSize', DEFAULTS.poolSize, { min: 1, max: 1_000 }),
    heartbeatMs: check.duration('heartbeat', DEFAULTS.heartbeat, { max: HOUR_MS }),
    sweepIntervalMs: check.duration('sweepInterval', DEFAULTS.sweepInterval, { max: HOUR_MS }),
    retention: resolveRetention(check, given.retention, maxChunkBytes),
  };
  checkRules(check, given, resolved);
  check.finish();
  return Object.freeze(resolved);
}

function resolveRetention(
  parent: OptionsCheck<PgStreamOptions>,
  given: RetentionOptions | undefined,
  maxChunkBytes: number,
): ResolvedPgStreamOptions['retention'] {
  const check = new OptionsCheck<RetentionOptions>('retention', given, ['closedFor', 'maxAge', 'maxBytes']);
  const options = typeof given === 'object' && given !== null ? given : {};
  const age = (key: 'closedFor' | 'maxAge') =>
    options[key] === undefined ? undefined : check.duration(key, 0, { min: 1_000, max: LONGEST_MS });
  const retention = {
    closedForMs: age('closedFor'),
    maxAgeMs: age('maxAge'),
    // With less, a chunk that may be appended would not be kept.
    maxBytes: options.maxBytes === undefined ? undefined : check.integer('maxBytes', 0, { min: maxChunkBytes }),
  };
  for (const problem of check.problems) parent.problem(`retention.${problem}`);
  return Object.freeze(retention);
}

function checkRules(
  check: OptionsCheck<PgStreamOptions>,
  given: PgStreamOptions,
  { pool, schema, hints, pollIntervalMs, sweepIntervalMs }: ResolvedPgStreamOptions,
): void {
  check.rule(
    (given.connectionString === undefined) !== (pool === undefined),
    pool === undefined
      ? 'connectionString or pool is required, so that the module knows where Postgres is'
      : 'connectionString and pool exclude each other: leave out one of them',
  );
  check.rule(
    pool === undefined || typeof (pool as Partial<PgPoolLike> | null)?.connect === 'function',
    'pool must be a pool of pg, with a connect() that gives a client',
  );
  check.rule(
    pool === undefined || hints === 'off' || given.listenConnectionString !== undefined || hasOptions(pool),
    'listenConnectionString is required with a pool that does not show its options, since LISTEN needs a connection of its own',
  );
  check.rule(
    pool === undefined || given.poolSize === undefined,
    'poolSize has no effect on a pool of yours: leave it out',
  );
  check.rule(
    !schema.includes('\0') && Buffer.byteLength(schema) <= 63,
    'schema must have at most 63 bytes, none of them NUL',
  );
  check.rule(
    pollIntervalMs === 0 || pollIntervalMs >= 50,
    `pollInterval must be 0 or at least 50 ms, not ${pollIntervalMs} ms`,
  );
  check.rule(
    sweepIntervalMs === 0 || sweepIntervalMs >= 100,
    `sweepInterval must be 0 or at least 100 ms, not ${sweepIntervalMs} ms`,
  );
  check.rule(
    hints === 'on' || pollIntervalMs > 0,
    "pollInterval must not be 0 with hints: 'off', since nothing would ever wake a reader",
  );
}

function hasOptions(pool: PgPoolLike): boolean {
  const { options } = (pool ?? {}) as Partial<PgPoolLike>;
  return typeof options === 'object' && options !== null;
}
