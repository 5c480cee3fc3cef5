import {
  type Backoff,
  type Duration,
  type Environment,
  type EnvironmentVariable,
  OptionsCheck,
  readEnvironment,
} from '@nest-baton/core';
import type { Dispatcher } from 'undici';
import type { Commit } from './batching/batch.js';
import type { Compression } from './sending/wire-body.js';
import type { IngestHooks } from './settling/hooks.js';

export type { IngestHooks, RejectReport } from './settling/hooks.js';

type Headers = Readonly<Record<string, string>>;

/** Headers of every request, or a function asked before every attempt; its time counts against the attempt's. */
export type IngestAuth = Headers | (() => Headers | Promise<Headers>);

/** Equal jitter: each wait is between half and all of what these say. */
export interface IngestRetryOptions {
  /** Before the second attempt. Default 100 ms. Too small hammers a server that is down. */
  readonly base?: Duration;
  /** What every further failure multiplies the wait by; default 1.5, at least 1. */
  readonly factor?: number;
  /** No wait is longer. Default 1 s. Too large delays recovery by as much. */
  readonly cap?: Duration;
}

export interface IngestOptions {
  /** Where the server is, `http:` or `https:`, a path prefix and trailing slashes tolerated. Required. */
  readonly url: string;
  /** Quickwit's index id: a letter, then 2 to 254 letters, digits, `-`, `_` or `.`. Required. */
  readonly index: string;
  /** What "the server has it" means for tracked documents: in its log (`auto`, the default) or searchable (`wait_for`; `force` costs a commit). */
  readonly commit?: Commit;
  /** Documents a request; default 1000. Too small costs round trips, too large makes a lost answer a large duplicate. */
  readonly maxBatchDocs?: number;
  /** Uncompressed bytes a request; default 5 MiB, at most `serverLimitBytes`. A larger document travels alone. */
  readonly maxBatchBytes?: number;
  /** The server's `content_length_limit`; default 10 MiB, which is Quickwit's. */
  readonly serverLimitBytes?: number;
  /** Longest time a fire-and-forget document waits for others; default 1 s. Tracked documents do not wait. */
  readonly maxDelay?: Duration;
  /**
   * `off`: nobody's waiting sends a batch, so a tracked document leaves by age (`maxDelay`), size, count, a full buffer, flush or close. Default
   * `on`. Turn it off to show that nothing depends on the kick, or to trade latency for fewer requests.
   */
  readonly hints?: 'on' | 'off';
  /** Requests at a time; default 2. Documents keep their order only with 1. */
  readonly concurrency?: number;
  /** Documents from admission until they settle; default 10 000. Too small pushes back early, too large costs memory in an outage. */
  readonly maxBufferDocs?: number;
  /** The same in bytes; default 64 MiB. As much again may wait for room. */
  readonly maxBufferBytes?: number;
  /** With a full buffer: `wait` (default) lets calls wait, `discard` refuses with `buffer_full` at once. */
  readonly overflow?: 'wait' | 'discard';
  /** `gzip` (default) for bodies over 1 KiB, or `none`. */
  readonly compression?: Compression;
  /** One attempt, from `auth` to the last byte of the answer; default 40 s. Below the server's own 35 s, each expiry is a duplicate. */
  readonly requestTimeout?: Duration;
  /** The same with `wait_for` and `force`; default 90 s. Should pass the index's commit timeout (60 s) by 30 s. */
  readonly commitTimeout?: Duration;
  readonly retry?: IngestRetryOptions;
  /** After an attempt that may have reached the server: `retry` (default; may duplicate) or `report` (`unknown` at once). */
  readonly ambiguous?: 'retry' | 'report';
  /** Longest time `close()` goes on delivering; default 5 s. Must fit into the time the platform gives a process to end. */
  readonly closeTimeout?: Duration;
  /** Longest time `close()` waits for `onUndelivered`, on top of `closeTimeout`; default 5 s. */
  readonly hookTimeout?: Duration;
  /**
   * Health is down when requests were tried for so long and none was taken; default 2 min. Below `requestTimeout` one slow answer is an outage;
   * too large and readers of the health learn late.
   */
  readonly stalledAfter?: Duration;
  readonly auth?: IngestAuth;
  /** undici's; ours is a pool of its own. It is not closed by us. */
  readonly dispatcher?: Dispatcher;
  readonly hooks?: IngestHooks;
}

export interface ResolvedIngestOptions {
  readonly url: string;
  readonly index: string;
  readonly commit: Commit;
  readonly maxBatchDocs: number;
  readonly maxBatchBytes: number;
  readonly serverLimitBytes: number;
  readonly maxDelayMs: number;
  readonly hints: 'on' | 'off';
  readonly concurrency: number;
  readonly maxBufferDocs: number;
  readonly maxBufferBytes: number;
  readonly overflow: 'wait' | 'discard';
  readonly compression: Compression;
  readonly requestTimeoutMs: number;
  readonly commitTimeoutMs: number;
  readonly retry: Backoff;
  readonly ambiguous: 'retry' | 'report';
  readonly closeTimeoutMs: number;
  readonly hookTimeoutMs: number;
  readonly stalledAfterMs: number;
  readonly auth: IngestAuth | undefined;
  readonly dispatcher: Dispatcher | undefined;
  readonly hooks: IngestHooks;
}

const MIB = 1_024 * 1_024;

const DEFAULTS = Object.freeze({
  commit: 'auto',
  maxBatchDocs: 1_000,
  maxBatchBytes: 5 * MIB,
  serverLimitBytes: 10 * MIB,
  maxDelay: '1s',
  hints: 'on',
  concurrency: 2,
  maxBufferDocs: 10_000,
  maxBufferBytes: 64 * MIB,
  overflow: 'wait',
  compression: 'gzip',
  requestTimeout: '40s',
  commitTimeout: '90s',
  retry: Object.freeze({ base: '100ms', factor: 1.5, cap: '1s' }),
  ambiguous: 'retry',
  closeTimeout: '5s',
  hookTimeout: '5s',
  stalledAfter: '2m',
} as const);

/** Beyond this, a timer of Node's would fire at once. */
const MAX_TIMER_MS = 86_400_000;

const KNOWN = [
  'url',
  'index',
  'auth',
  'dispatcher',
  'hooks',
  ...(Object.keys(DEFAULTS) as (keyof typeof DEFAULTS)[]),
] as const satisfies readonly (keyof IngestOptions)[];

/** Quickwit's `validate_identifier`. */
const INDEX_ID = /^[a-zA-Z][a-zA-Z0-9\-_.]{2,254}$/;

/** @throws OptionsInvalidError naming everything wrong, in one report. */
export function resolveIngestOptions(options: IngestOptions): ResolvedIngestOptions {
  const check = new OptionsCheck<IngestOptions>('IngestModule', options, KNOWN);
  const timeout = { min: 1, max: MAX_TIMER_MS };
  const resolved: ResolvedIngestOptions = {
    url: check.url('url', ['http:', 'https:']),
    index: check.string('index'),
    commit: check.oneOf('commit', DEFAULTS.commit, ['auto', 'wait_for', 'force']),
    maxBatchDocs: check.integer('maxBatchDocs', DEFAULTS.maxBatchDocs, { min: 1, max: 100_000 }),
    maxBatchBytes: check.integer('maxBatchBytes', DEFAULTS.maxBatchBytes, { min: 1 }),
    serverLimitBytes: check.integer('serverLimitBytes', DEFAULTS.serverLimitBytes, { min: 1, max: 1_024 * MIB }),
    maxDelayMs: check.duration('maxDelay', DEFAULTS.maxDelay, { max: MAX_TIMER_MS }),
    hints: check.oneOf('hints', DEFAULTS.hints, ['on', 'off']),
    concurrency: check.integer('concurrency', DEFAULTS.concurrency, { min: 1, max: 64 }),
    maxBufferDocs: check.integer('maxBufferDocs', DEFAULTS.maxBufferDocs, { min: 1, max: 10_000_000 }),
    maxBufferBytes: check.integer('maxBufferBytes', DEFAULTS.maxBufferBytes, { min: 1 }),
    overflow: check.oneOf('overflow', DEFAULTS.overflow, ['wait', 'discard']),
    compression: check.oneOf('compression', DEFAULTS.compression, ['gzip', 'none']),
    requestTimeoutMs: check.duration('requestTimeout', DEFAULTS.requestTimeout, timeout),
    commitTimeoutMs: check.duration('commitTimeout', DEFAULTS.commitTimeout, timeout),
    retry: resolveRetry(options?.retry, check),
    ambiguous: check.oneOf('ambiguous', DEFAULTS.ambiguous, ['retry', 'report']),
    closeTimeoutMs: check.duration('closeTimeout', DEFAULTS.closeTimeout, { max: MAX_TIMER_MS }),
    hookTimeoutMs: check.duration('hookTimeout', DEFAULTS.hookTimeout, { max: MAX_TIMER_MS }),
    stalledAfterMs: check.duration('stalledAfter', DEFAULTS.stalledAfter, timeout),
    auth: options?.auth,
    dispatcher: options?.dispatcher,
    hooks: options?.hooks === undefined ? {} : options.hooks,
  };
  checkUrl(resolved.url, check);
  check.rule(
    resolved.index === '' || INDEX_ID.test(resolved.index),
    'index must be a letter followed by 2 to 254 letters, digits, dashes, underscores or dots',
  );
  check.rule(
    resolved.maxBatchBytes <= resolved.serverLimitBytes,
    `maxBatchBytes must be at most serverLimitBytes (${resolved.serverLimitBytes}), not ${resolved.maxBatchBytes}`,
  );
  checkAuth(resolved.auth, check);
  checkHooks(resolved.hooks, check);
  check.rule(
    resolved.dispatcher === undefined || typeof resolved.dispatcher?.dispatch === 'function',
    'dispatcher must be a dispatcher of undici, such as an Agent',
  );
  check.finish();
  return Object.freeze(resolved);
}

function resolveRetry(given: IngestRetryOptions | undefined, check: OptionsCheck<IngestOptions>): Backoff {
  const inner = new OptionsCheck<IngestRetryOptions>('IngestModule.retry', given, ['base', 'factor', 'cap']);
  const { base, factor, cap } = DEFAULTS.retry;
  const retry: Backoff = {
    baseMs: inner.duration('base', base, { min: 1, max: MAX_TIMER_MS }),
    factor: inner.number('factor', factor, { min: 1, max: 100 }),
    capMs: inner.duration('cap', cap, { min: 1, max: MAX_TIMER_MS }),
    jitter: 'equal',
  };
  inner.rule(retry.capMs >= retry.baseMs, `cap must be at least base (${retry.baseMs} ms), not ${retry.capMs} ms`);
  addProblems('retry', inner.problems, check);
  return retry;
}

function checkUrl(url: string, check: OptionsCheck<IngestOptions>): void {
  if (!URL.canParse(url)) return;
  const { username, password, search, hash } = new URL(url);
  check.rule(username === '' && password === '', 'url must hold no credentials: use auth');
  check.rule(search === '' && hash === '', 'url must have no query and no fragment');
}

function checkAuth(auth: unknown, check: OptionsCheck<IngestOptions>): void {
  if (auth === undefined || typeof auth === 'function') return;
  const isHeaders =
    typeof auth === 'object' &&
    auth !== null &&
    Object.values(auth).every((value) => typeof value === 'string' && !/[\r\n\0]/.test(value));
  check.rule(isHeaders, 'auth must be an object of headers, texts without line breaks, or a function that returns one');
}

function checkHooks(hooks: unknown, check: OptionsCheck<IngestOptions>): void {
  const names = ['onDiscard', 'onReject', 'onUndelivered'] as const satisfies readonly (keyof IngestHooks)[];
  const inner = new OptionsCheck<IngestHooks>('IngestModule.hooks', hooks as IngestHooks, names);
  for (const name of names) inner.function(name);
  addProblems('hooks', inner.problems, check);
}

function addProblems(option: string, problems: readonly string[], check: OptionsCheck<IngestOptions>): void {
  // A sentence about a field begins with its name.
  for (const problem of problems)
    check.problem(/^(unknown|options) /.test(problem) ? `${option}: ${problem}` : `${option}.${problem}`);
}

/** Every option that a text can set. `BATON_INGEST_AUTH` is the `authorization` header. */
export const INGEST_ENVIRONMENT: readonly EnvironmentVariable[] = [
  { variable: 'BATON_INGEST_URL', option: 'url', kind: 'string' },
  { variable: 'BATON_INGEST_INDEX', option: 'index', kind: 'string' },
  { variable: 'BATON_INGEST_COMMIT', option: 'commit', kind: 'string' },
  { variable: 'BATON_INGEST_MAX_BATCH_DOCS', option: 'maxBatchDocs', kind: 'integer' },
  { variable: 'BATON_INGEST_MAX_BATCH_BYTES', option: 'maxBatchBytes', kind: 'integer' },
  { variable: 'BATON_INGEST_SERVER_LIMIT_BYTES', option: 'serverLimitBytes', kind: 'integer' },
  { variable: 'BATON_INGEST_MAX_DELAY', option: 'maxDelay', kind: 'duration' },
  { variable: 'BATON_INGEST_HINTS', option: 'hints', kind: 'string' },
  { variable: 'BATON_INGEST_CONCURRENCY', option: 'concurrency', kind: 'integer' },
  { variable: 'BATON_INGEST_MAX_BUFFER_DOCS', option: 'maxBufferDocs', kind: 'integer' },
  { variable: 'BATON_INGEST_MAX_BUFFER_BYTES', option: 'maxBufferBytes', kind: 'integer' },
  { variable: 'BATON_INGEST_OVERFLOW', option: 'overflow', kind: 'string' },
  { variable: 'BATON_INGEST_COMPRESSION', option: 'compression', kind: 'string' },
  { variable: 'BATON_INGEST_REQUEST_TIMEOUT', option: 'requestTimeout', kind: 'duration' },
  { variable: 'BATON_INGEST_COMMIT_TIMEOUT', option: 'commitTimeout', kind: 'duration' },
  { variable: 'BATON_INGEST_RETRY_BASE', option: 'retry.base', kind: 'duration' },
  { variable: 'BATON_INGEST_RETRY_FACTOR', option: 'retry.factor', kind: 'number' },
  { variable: 'BATON_INGEST_RETRY_CAP', option: 'retry.cap', kind: 'duration' },
  { variable: 'BATON_INGEST_AMBIGUOUS', option: 'ambiguous', kind: 'string' },
  { variable: 'BATON_INGEST_CLOSE_TIMEOUT', option: 'closeTimeout', kind: 'duration' },
  { variable: 'BATON_INGEST_HOOK_TIMEOUT', option: 'hookTimeout', kind: 'duration' },
  { variable: 'BATON_INGEST_STALLED_AFTER', option: 'stalledAfter', kind: 'duration' },
  { variable: 'BATON_INGEST_AUTH', option: 'auth.authorization', kind: 'string' },
];

/** Pure. What is set only; bounds are checked where options are resolved. @throws OptionsInvalidError for a text that is no such value. */
export function ingestOptionsFromEnv(env: Environment): Partial<IngestOptions> {
  return readEnvironment('IngestModule', env, INGEST_ENVIRONMENT);
}
