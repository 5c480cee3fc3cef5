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
  /** `off`: this process tells no other of its appends, whose readers then wait for their poll. Default `coalesced`: at most one NOTIFY in flight. */
  readonly notify?: 'coalesced' | 'off';
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
  /** Connections for appends and reads, besides the one that LISTENs. Too small: they wait for each other. Default 10, 1 to 1 000. Not with `pool`. */
  readonly poolSize?: number;
  /** Between comments that keep proxies from closing a quiet SSE connection. Default 15 s, up to 1 h; 0 sends none. */
  readonly heartbeat?: Duration;
}

export interface ResolvedPgStreamOptions {
  /** Exactly one of the two is there. */
  readonly connectionString: string | undefined;
  readonly pool: PgPoolLike | undefined;
  readonly listenConnectionString: string | undefined;
  readonly schema: string;
  readonly migrations: 'auto' | 'verify' | 'off';
  readonly hints: 'on' | 'off';
  readonly notify: 'coalesced' | 'off';
  readonly pollIntervalMs: number;
  readonly startup: 'require' | 'degrade';
  readonly maxChunkBytes: number;
  readonly poolSize: number;
  readonly heartbeatMs: number;
}

const DEFAULTS = Object.freeze({
  schema: 'baton',
  migrations: 'auto',
  hints: 'on',
  notify: 'coalesced',
  pollInterval: '5s',
  startup: 'require',
  maxChunkBytes: 1024 * 1024,
  poolSize: 10,
  heartbeat: '15s',
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
  { variable: 'BATON_PG_STREAM_POOL_SIZE', option: 'poolSize', kind: 'integer' },
  { variable: 'BATON_PG_STREAM_HEARTBEAT', option: 'heartbeat', kind: 'duration' },
];

/** Pure; checked when the module resolves its options. @throws OptionsInvalidError for a text that cannot be read as its kind. */
export function pgStreamOptionsFromEnv(env: Environment): PgStreamOptions {
  return readEnvironment('PgStreamModule', env, PG_STREAM_ENVIRONMENT);
}

const KNOWN = [...PG_STREAM_ENVIRONMENT.map(({ option }) => option), 'pool'] as (keyof PgStreamOptions)[];

const POSTGRES_URL = ['postgres:', 'postgresql:'];
const HOUR_MS = 3_600_000;

/** @throws OptionsInvalidError naming everything wrong. */
export function resolvePgStreamOptions(options: PgStreamOptions): ResolvedPgStreamOptions {
  const check = new OptionsCheck<PgStreamOptions>('PgStreamModule', options, KNOWN);
  const given: PgStreamOptions = typeof options === 'object' && options !== null ? options : {};
  const url = (key: 'connectionString' | 'listenConnectionString') =>
    given[key] === undefined ? undefined : check.url(key, POSTGRES_URL);
  const resolved: ResolvedPgStreamOptions = {
    connectionString: url('connectionString'),
    pool: given.pool,
    listenConnectionString: url('listenConnectionString'),
    schema: check.string('schema', DEFAULTS.schema),
    migrations: check.oneOf('migrations', DEFAULTS.migrations, ['auto', 'verify', 'off']),
    hints: check.oneOf('hints', DEFAULTS.hints, ['on', 'off']),
    notify: check.oneOf('notify', DEFAULTS.notify, ['coalesced', 'off']),
    pollIntervalMs: check.duration('pollInterval', DEFAULTS.pollInterval, { max: HOUR_MS }),
    startup: check.oneOf('startup', DEFAULTS.startup, ['require', 'degrade']),
    maxChunkBytes: check.integer('maxChunkBytes', DEFAULTS.maxChunkBytes, { min: 1, max: 64 * 1024 * 1024 }),
    poolSize: check.integer('poolSize', DEFAULTS.poolSize, { min: 1, max: 1_000 }),
    heartbeatMs: check.duration('heartbeat', DEFAULTS.heartbeat, { max: HOUR_MS }),
  };
  checkRules(check, given, resolved);
  check.finish();
  return Object.freeze(resolved);
}

function checkRules(
  check: OptionsCheck<PgStreamOptions>,
  given: PgStreamOptions,
  { pool, schema, hints, pollIntervalMs }: ResolvedPgStreamOptions,
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
    hints === 'on' || pollIntervalMs > 0,
    "pollInterval must not be 0 with hints: 'off', since nothing would ever wake a reader",
  );
}

function hasOptions(pool: PgPoolLike): boolean {
  const { options } = (pool ?? {}) as Partial<PgPoolLike>;
  return typeof options === 'object' && options !== null;
}
