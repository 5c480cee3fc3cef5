import { type Duration, OptionsCheck } from '@nest-baton/core';
import type { IncomingMessage } from 'node:http';
import { DEFAULT_CONTENT_TYPE, isContentType } from './protocol/content-type.js';

/** Whether a request may do what it asks with a stream. Asked before anything is read or written, and for both streams of a fork. */
export type AuthorizeStream = (stream: string, request: IncomingMessage) => boolean | Promise<boolean>;

export interface DurableStreamsOptions {
  /** Asked with the decoded name before anything is read or written, for both streams of a fork; false is answered with 403. */
  readonly authorize?: AuthorizeStream;
  /** A secret that each request brings as `Authorization: Bearer`; otherwise 401. At least 16 characters. */
  readonly token?: string;
  /** Of streams that were not created by this protocol, and of a PUT that names none. Default `application/octet-stream`. */
  readonly contentType?: string;
  /** How long a long poll waits for data. Longer than a proxy's patience, and clients get errors. Default 20 s, 100 ms to 10 min. */
  readonly longPollTimeout?: Duration;
  /** After which an event stream ends, and its client comes back. Default 60 s, as the protocol has it; 1 s to 24 h. */
  readonly sseLifetime?: Duration;
  /** Between comments that keep proxies from closing a quiet event stream. Default 15 s, up to 1 h; 0 sends none. */
  readonly heartbeat?: Duration;
  /** A larger body is answered with 413. A body is held in memory. Default 1 MiB, 1 byte to 64 MiB; `maxChunkBytes` bounds it too. */
  readonly maxBodyBytes?: number;
  /** `public`: shared caches may keep what is read. Only for streams that are the same for everybody. Default `private`. */
  readonly cacheScope?: 'private' | 'public';
  /** `Cross-Origin-Resource-Policy` of every answer. Default `same-origin`. */
  readonly resourcePolicy?: 'same-origin' | 'same-site' | 'cross-origin';
  /** Between two looks for streams whose time is over and whom nobody asked for since. Default 1 min, 1 s to 24 h. */
  readonly sweepInterval?: Duration;
}

export interface ResolvedDurableStreamsOptions {
  readonly authorize: AuthorizeStream | undefined;
  readonly token: string | undefined;
  readonly contentType: string;
  readonly longPollTimeoutMs: number;
  readonly sseLifetimeMs: number;
  readonly heartbeatMs: number;
  readonly maxBodyBytes: number;
  readonly cacheScope: 'private' | 'public';
  readonly resourcePolicy: 'same-origin' | 'same-site' | 'cross-origin';
  readonly sweepIntervalMs: number;
}

const DEFAULTS = Object.freeze({
  contentType: DEFAULT_CONTENT_TYPE,
  longPollTimeout: '20s',
  sseLifetime: '60s',
  heartbeat: '15s',
  maxBodyBytes: 1024 * 1024,
  cacheScope: 'private',
  resourcePolicy: 'same-origin',
  sweepInterval: '1m',
} satisfies DurableStreamsOptions);

const KNOWN = [...Object.keys(DEFAULTS), 'authorize', 'token'] as (keyof DurableStreamsOptions)[];

const MIN_TOKEN_LENGTH = 16;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** @throws OptionsInvalidError naming everything wrong. */
export function resolveDurableStreamsOptions(options: DurableStreamsOptions): ResolvedDurableStreamsOptions {
  const check = new OptionsCheck<DurableStreamsOptions>('DurableStreamsModule', options, KNOWN);
  const resolved: ResolvedDurableStreamsOptions = {
    authorize: check.function<AuthorizeStream>('authorize'),
    token: options.token === undefined ? undefined : check.secret('token'),
    contentType: check.string('contentType', DEFAULTS.contentType),
    longPollTimeoutMs: check.duration('longPollTimeout', DEFAULTS.longPollTimeout, { min: 100, max: 600_000 }),
    sseLifetimeMs: check.duration('sseLifetime', DEFAULTS.sseLifetime, { min: 1_000, max: DAY_MS }),
    heartbeatMs: check.duration('heartbeat', DEFAULTS.heartbeat, { max: HOUR_MS }),
    maxBodyBytes: check.integer('maxBodyBytes', DEFAULTS.maxBodyBytes, { min: 1, max: 64 * 1024 * 1024 }),
    cacheScope: check.oneOf('cacheScope', DEFAULTS.cacheScope, ['private', 'public']),
    resourcePolicy: check.oneOf('resourcePolicy', DEFAULTS.resourcePolicy, [
      'same-origin',
      'same-site',
      'cross-origin',
    ]),
    sweepIntervalMs: check.duration('sweepInterval', DEFAULTS.sweepInterval, { min: 1_000, max: DAY_MS }),
  };
  check.rule(
    resolved.token === undefined || resolved.token.length >= MIN_TOKEN_LENGTH,
    `token must have at least ${MIN_TOKEN_LENGTH} characters, so that it cannot be guessed`,
  );
  check.rule(isContentType(resolved.contentType), 'contentType must be a media type, such as text/plain');
  check.finish();
  return Object.freeze(resolved);
}
