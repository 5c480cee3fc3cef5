import { type Backoff, type Duration, OptionsCheck } from '@nest-baton/core';
import type { Dispatcher } from 'undici';
import {
  DEFAULT_CONCURRENCY,
  type IngestConcurrencyOptions,
  resolveConcurrency,
} from './configuring/concurrency-options.js';
import {
  type IngestIndexOptions,
  type ResolvedIndexOptions,
  resolveIndex,
  resolveIndexes,
} from './configuring/index-options.js';
import { addProblems } from './configuring/inner-problems.js';
import type { ConcurrencyBounds } from './pacing/adaptive-concurrency.js';
import type { Compression } from './sending/wire-body.js';
import type { IngestHooks } from './settling/hooks.js';

export type { IngestConcurrencyOptions } from './configuring/concurrency-options.js';
export type { IngestIndexOptions, ResolvedIndexOptions } from './configuring/index-options.js';
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

/** What is said here of an index is said of the root's own. */
export interface IngestOptions extends IngestIndexOptions {
  /** Where the server is, `http:` or `https:`, a path prefix and trailing slashes tolerated. Required. */
  readonly url: string;
  /** `native` (default): Quickwit's own API. `bulk`: `_bulk` of Elasticsearch, OpenSearch and, with a URL that ends in `/_elastic`, Quickwit. */
  readonly protocol?: 'native' | 'bulk';
  /** Further indexes of the same server, by the names that `forFeature` and `@InjectIngest` know them by; not `default`, and without `:`. */
  readonly indexes?: Readonly<Record<string, IngestIndexOptions>>;
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
  /**
   * Requests at a time, 1 to 64. By default they adapt to what the server takes: `{ start: 2, min: 1, max: 8 }`. A number is fixed; documents keep
   * their order only with 1.
   */
  readonly concurrency?: number | IngestConcurrencyOptions;
  /**
   * Documents from admission until they settle, of all indexes together; default 10 000, at least two an index where there are several. Too small
   * pushes back early, too large costs memory in an outage.
   */
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
}

/** With what the root's own index has. */
export interface ResolvedIngestOptions extends ResolvedIndexOptions {
  readonly url: string;
  readonly protocol: 'native' | 'bulk';
  /** The further indexes by their names; without a prototype. */
  readonly indexes: Readonly<Record<string, ResolvedIndexOptions>>;
  readonly maxBatchDocs: number;
  readonly maxBatchBytes: number;
  readonly serverLimitBytes: number;
  readonly maxDelayMs: number;
  readonly hints: 'on' | 'off';
  readonly concurrency: ConcurrencyBounds;
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
}

const MIB = 1_024 * 1_024;

const NO_HOOKS: IngestHooks = Object.freeze({});

const DEFAULTS = Object.freeze({
  protocol: 'native',
  commit: 'auto',
  maxBatchDocs: 1_000,
  maxBatchBytes: 5 * MIB,
  serverLimitBytes: 10 * MIB,
  maxDelay: '1s',
  hints: 'on',
  concurrency: DEFAULT_CONCURRENCY,
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
  'schema',
  'documentId',
  'hooks',
  'indexes',
  'auth',
  'dispatcher',
  ...(Object.keys(DEFAULTS) as (keyof typeof DEFAULTS)[]),
] as const satisfies readonly (keyof IngestOptions)[];

/** @throws OptionsInvalidError naming everything wrong, in one report. */
export function resolveIngestOptions(options: IngestOptions): ResolvedIngestOptions {
  const check = new OptionsCheck<IngestOptions>('IngestModule', options, KNOWN);
  const timeout = { min: 1, max: MAX_TIMER_MS };
  const url = check.url('url', ['http:', 'https:']);
  const protocol = check.oneOf('protocol', DEFAULTS.protocol, ['native', 'bulk']);
  const basePath = URL.canParse(url) ? new URL(url).pathname.replace(/\/+$/, '') : '';
  const root = resolveIndex(options, { protocol, basePath, commit: DEFAULTS.commit, hooks: NO_HOOKS }, check);
  const resolved: ResolvedIngestOptions = {
    ...root,
    url,
    protocol,
    indexes: resolveIndexes(options?.indexes, { protocol, basePath, ...root }, check),
    maxBatchDocs: check.integer('maxBatchDocs', DEFAULTS.maxBatchDocs, { min: 1, max: 100_000 }),
    maxBatchBytes: check.integer('maxBatchBytes', DEFAULTS.maxBatchBytes, { min: 1 }),
    serverLimitBytes: check.integer('serverLimitBytes', DEFAULTS.serverLimitBytes, { min: 1, max: 1_024 * MIB }),
    maxDelayMs: check.duration('maxDelay', DEFAULTS.maxDelay, { max: MAX_TIMER_MS }),
    hints: check.oneOf('hints', DEFAULTS.hints, ['on', 'off']),
    concurrency: resolveConcurrency(options?.concurrency, check),
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
    auth: resolveAuth(options?.auth, check),
    dispatcher: options?.dispatcher,
  };
  checkUrl(url, check);
  checkRules(resolved, check);
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
  return Object.freeze(retry);
}

function checkUrl(url: string, check: OptionsCheck<IngestOptions>): void {
  if (!URL.canParse(url)) return;
  const { username, password, search, hash } = new URL(url);
  check.rule(username === '' && password === '', 'url must hold no credentials: use auth');
  check.rule(search === '' && hash === '', 'url must have no query and no fragment');
}

/** A copy, so that nothing changes once it is checked. */
function resolveAuth(auth: unknown, check: OptionsCheck<IngestOptions>): IngestAuth | undefined {
  if (auth === undefined || typeof auth === 'function') return auth as IngestAuth | undefined;
  const isHeaders =
    typeof auth === 'object' &&
    auth !== null &&
    Object.values(auth).every((value) => typeof value === 'string' && !/[\r\n\0]/.test(value));
  check.rule(isHeaders, 'auth must be an object of headers, texts without line breaks, or a function that returns one');
  return isHeaders ? Object.freeze({ ...(auth as Headers) }) : undefined;
}

function checkRules(resolved: ResolvedIngestOptions, check: OptionsCheck<IngestOptions>): void {
  const { maxBatchBytes, serverLimitBytes, maxBufferDocs, indexes, dispatcher } = resolved;
  check.rule(
    maxBatchBytes <= serverLimitBytes,
    `maxBatchBytes must be at most serverLimitBytes (${serverLimitBytes}), not ${maxBatchBytes}`,
  );
  // Half of the buffer is shared out: below this, an index would have no place of its own in it.
  const places = 2 * (Object.keys(indexes).length + 1);
  check.rule(
    places === 2 || maxBufferDocs >= places,
    `maxBufferDocs must be at least twice the number of indexes (${places}), not ${maxBufferDocs}`,
  );
  check.rule(
    dispatcher === undefined || typeof dispatcher?.dispatch === 'function',
    'dispatcher must be a dispatcher of undici, such as an Agent',
  );
}
