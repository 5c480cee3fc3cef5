import { type Duration, OptionsCheck, parseDuration } from '@nest-baton/core';
import type { DeadDelivery } from './delivering/delivery.js';
import {
  type ResolvedRetention,
  resolveRetention,
  RETENTION_DEFAULTS,
  type RetentionOptions,
} from './retaining/retention.options.js';
import { isNetwork } from './sending/address-rules.js';

/** One key of the ring that seals endpoint secrets. */
export interface WebhookKey {
  /** 1 to 64 letters, digits, `_`, `-` or `.`; stored beside each secret that it sealed. */
  readonly id: string;
  /** 32 bytes in base64: `openssl rand -base64 32`. */
  readonly key: string;
}

export interface WebhookOutboxOptions {
  /** `producer`: stores events, sends nothing. `worker`: runs the relay. `all`: both. `send` works in each. Default `'all'`. */
  readonly role?: 'all' | 'producer' | 'worker';
  /**
   * `relay`: each process whose role asks for it sends whatever is due. `queue`: your queue (the extra `queue`) is told of each event, and only
   * `deliver(outboxId)`, which its consumer calls, sends. The same in all processes of a schema. Default `'relay'`.
   */
  readonly dispatch?: 'relay' | 'queue';
  /**
   * With `dispatch: 'queue'`: how long a message may be on its way before the event is handed over again, while deliveries of it are due. Too
   * small and a slow queue carries each event several times, of which one sends; too large delays what the queue lost. Default 30 s.
   */
  readonly handOffGrace?: Duration;
  /** Seals endpoint secrets; the first seals, all open. Required, except for a producer that creates no endpoints. */
  readonly keys?: readonly WebhookKey[];
  /** Schema of the tables. Default `'baton'`. */
  readonly schema?: string;
  /** `auto` applies what is missing, `verify` refuses to start when something is, `off` looks at nothing. Default `'auto'`. */
  readonly migrations?: 'auto' | 'verify' | 'off';
  /** `off`: no LISTEN, no NOTIFY, no kick after a commit; the poll finds everything. Default `'on'`. */
  readonly hints?: 'on' | 'off';
  /**
   * What becomes of an event that the database cannot take, outside a transaction. `throw`: the caller gets the error. `send-once`: one request to
   * each endpoint that wanted it a moment ago, or the event itself to your queue, and the result `unconfirmed`: it may be lost. Default `'throw'`.
   */
  readonly onPersistFailure?: 'throw' | 'send-once';
  /** For the one connection that LISTENs; not through a transaction-mode pooler. Without it the poll finds what other processes commit. */
  readonly listenConnectionString?: string;
  /** Pause between looks for due deliveries. Too small costs two queries each; too large delays what no hint announced. Default 1 s. */
  readonly pollInterval?: Duration;
  /** How long a claim holds without renewal. Too small and a stall of the process sends twice; too large and a crash delays. Default 30 s. */
  readonly lease?: Duration;
  /** For one request, body of the answer included; below `lease`. Default 20 s, within the 15 to 30 s of Standard Webhooks. */
  readonly requestTimeout?: Duration;
  /** Deliveries claimed by one statement, and the most that wait claimed in memory. Default 100. */
  readonly batchSize?: number;
  /** Requests at one time to one endpoint by one process. Too large overruns receivers; too small cannot keep up. Default 32. */
  readonly maxInFlight?: number;
  /** Bytes of an event's body as sent; more is refused by `send`. Default 262 144 (256 KiB). */
  readonly maxPayloadBytes?: number;
  /** Bytes read of an answer; the rest is cut and the connection closed. Default 65 536 (64 KiB). */
  readonly maxResponseBytes?: number;
  /** Longest `Retry-After` that is heeded. Default 1 h. */
  readonly retryAfterCap?: Duration;
  /** Pauses after each failed attempt, each x uniform(0.8, 1.2); one more attempt than pauses. Default: that of Standard Webhooks, 75.6 h. */
  readonly schedule?: readonly Duration[];
  /**
   * Failed requests in a row, of all processes, after which an endpoint's breaker opens: its deliveries wait, but for one request each
   * `breakerPause`, and the first final answer shuts it. Too small and one hiccup delays everything; too large and a dead endpoint takes
   * attempts of all its deliveries. 0: never. Default 20.
   */
  readonly breakerFailures?: number;
  /** How long an open breaker lets nothing through before a request tries. Too large delays what a recovered endpoint gets. Default 30 s. */
  readonly breakerPause?: Duration;
  /**
   * An endpoint that does nothing but fail for so long, over at least ten events, is disabled and its deliveries parked; announced at half of
   * it. 0: never. Default 5 days, as Standard Webhooks advises.
   */
  readonly disableAfter?: Duration;
  /** Also `http:` URLs. Bodies travel readable, signed all the same. Default false. */
  readonly allowHttp?: boolean;
  /** Networks in CIDR notation that may be dialled although the guard refuses them (`10.1.0.0/16`). Default none. */
  readonly allowAddresses?: readonly string[];
  /** How long deliveries are kept, by the state they came to. */
  readonly retention?: RetentionOptions;
  /**
   * Between two looks for what has been kept long enough, by each process whose role is not `producer`. Too large lets more pile up between them. 0: this
   * process removes nothing. Default 1 min.
   */
  readonly cleanupInterval?: Duration;
  /**
   * Endpoints of one tenant, deleted ones aside. Too small and a tenant cannot subscribe what it has; too large and one tenant makes every event of its own
   * that many deliveries. 1 to 1 000 000. Default 10 000.
   */
  readonly maxEndpointsPerTenant?: number;
  /** For requests in flight and unwritten outcomes when the process stops; below the platform's grace period. Default 15 s. */
  readonly shutdownTimeout?: Duration;
  /** Called after a delivery was written as dead. Not called when the process dies between the two: the row says it too. */
  readonly onDead?: (delivery: DeadDelivery) => unknown;
}

export interface ResolvedWebhookOutboxOptions {
  readonly role: 'all' | 'producer' | 'worker';
  readonly dispatch: 'relay' | 'queue';
  readonly handOffGraceMs: number;
  readonly keys: readonly WebhookKey[];
  readonly schema: string;
  readonly migrations: 'auto' | 'verify' | 'off';
  readonly hints: 'on' | 'off';
  readonly onPersistFailure: 'throw' | 'send-once';
  readonly listenConnectionString: string | undefined;
  readonly pollIntervalMs: number;
  readonly leaseMs: number;
  readonly requestTimeoutMs: number;
  readonly batchSize: number;
  readonly maxInFlight: number;
  readonly maxPayloadBytes: number;
  readonly maxResponseBytes: number;
  readonly retryAfterCapMs: number;
  readonly scheduleMs: readonly number[];
  readonly breakerFailures: number;
  readonly breakerPauseMs: number;
  readonly disableAfterMs: number;
  readonly allowHttp: boolean;
  readonly allowAddresses: readonly string[];
  readonly retention: ResolvedRetention;
  readonly cleanupIntervalMs: number;
  readonly maxEndpointsPerTenant: number;
  readonly shutdownTimeoutMs: number;
  readonly onDead: ((delivery: DeadDelivery) => unknown) | undefined;
}

const DEFAULTS = Object.freeze({
  role: 'all',
  dispatch: 'relay',
  handOffGrace: '30s',
  schema: 'baton',
  migrations: 'auto',
  hints: 'on',
  onPersistFailure: 'throw',
  pollInterval: '1s',
  lease: '30s',
  requestTimeout: '20s',
  batchSize: 100,
  maxInFlight: 32,
  maxPayloadBytes: 256 * 1024,
  maxResponseBytes: 64 * 1024,
  retryAfterCap: '1h',
  schedule: ['5s', '5m', '30m', '2h', '5h', '10h', '14h', '20h', '24h'],
  breakerFailures: 20,
  breakerPause: '30s',
  disableAfter: '5d',
  allowHttp: false,
  allowAddresses: [],
  retention: RETENTION_DEFAULTS,
  cleanupInterval: '1m',
  maxEndpointsPerTenant: 10_000,
  shutdownTimeout: '15s',
} satisfies WebhookOutboxOptions);

const KNOWN = [
  ...(Object.keys(DEFAULTS) as (keyof typeof DEFAULTS)[]),
  'keys',
  'listenConnectionString',
  'onDead',
] as const;

/** A claim must outlive the statements around its request. */
const LONGEST_PAUSE_MS = 30 * 24 * 3_600_000;

/** @throws OptionsInvalidError naming every problem. */
export function resolveWebhookOutboxOptions(options: WebhookOutboxOptions): ResolvedWebhookOutboxOptions {
  const check = new OptionsCheck<WebhookOutboxOptions>('WebhookOutboxModule', options, KNOWN);
  const role = check.oneOf('role', DEFAULTS.role, ['all', 'producer', 'worker']);
  const resolved: ResolvedWebhookOutboxOptions = {
    role,
    dispatch: check.oneOf('dispatch', DEFAULTS.dispatch, ['relay', 'queue']),
    handOffGraceMs: check.duration('handOffGrace', DEFAULTS.handOffGrace, { min: 10, max: 86_400_000 }),
    keys: readKeys(check, options?.keys, role),
    schema: check.string('schema', DEFAULTS.schema),
    migrations: check.oneOf('migrations', DEFAULTS.migrations, ['auto', 'verify', 'off']),
    hints: check.oneOf('hints', DEFAULTS.hints, ['on', 'off']),
    onPersistFailure: check.oneOf('onPersistFailure', DEFAULTS.onPersistFailure, ['throw', 'send-once']),
    listenConnectionString:
      options?.listenConnectionString === undefined
        ? undefined
        : check.url('listenConnectionString', ['postgres:', 'postgresql:']),
    pollIntervalMs: check.duration('pollInterval', DEFAULTS.pollInterval, { min: 10, max: 3_600_000 }),
    leaseMs: check.duration('lease', DEFAULTS.lease, { min: 500, max: 3_600_000 }),
    requestTimeoutMs: check.duration('requestTimeout', DEFAULTS.requestTimeout, { min: 50, max: 3_600_000 }),
    batchSize: check.integer('batchSize', DEFAULTS.batchSize, { min: 1, max: 1_000 }),
    maxInFlight: check.integer('maxInFlight', DEFAULTS.maxInFlight, { min: 1, max: 1_000 }),
    maxPayloadBytes: check.integer('maxPayloadBytes', DEFAULTS.maxPayloadBytes, { min: 1_024, max: 16 * 1024 * 1024 }),
    maxResponseBytes: check.integer('maxResponseBytes', DEFAULTS.maxResponseBytes, {
      min: 1_024,
      max: 16 * 1024 * 1024,
    }),
    retryAfterCapMs: check.duration('retryAfterCap', DEFAULTS.retryAfterCap, { max: LONGEST_PAUSE_MS }),
    scheduleMs: readSchedule(check, options?.schedule ?? DEFAULTS.schedule),
    breakerFailures: check.integer('breakerFailures', DEFAULTS.breakerFailures, { max: 100_000 }),
    breakerPauseMs: check.duration('breakerPause', DEFAULTS.breakerPause, { min: 10, max: 86_400_000 }),
    disableAfterMs: check.duration('disableAfter', DEFAULTS.disableAfter, { max: 365 * 86_400_000 }),
    allowHttp: check.boolean('allowHttp', DEFAULTS.allowHttp),
    allowAddresses: readNetworks(check, options?.allowAddresses ?? DEFAULTS.allowAddresses),
    retention: resolveRetention(options?.retention, (problem) => check.problem(problem)),
    cleanupIntervalMs: check.duration('cleanupInterval', DEFAULTS.cleanupInterval, { max: 86_400_000 }),
    maxEndpointsPerTenant: check.integer('maxEndpointsPerTenant', DEFAULTS.maxEndpointsPerTenant, {
      min: 1,
      max: 1_000_000,
    }),
    shutdownTimeoutMs: check.duration('shutdownTimeout', DEFAULTS.shutdownTimeout, { max: 3_600_000 }),
    onDead: check.function<(delivery: DeadDelivery) => unknown>('onDead'),
  };
  check.rule(
    resolved.requestTimeoutMs < resolved.leaseMs,
    `requestTimeout (${resolved.requestTimeoutMs} ms) must be below lease (${resolved.leaseMs} ms): a request that outlives its claim is sent twice`,
  );
  check.rule(
    resolved.onPersistFailure === 'throw' || resolved.dispatch === 'queue' || resolved.keys.length > 0,
    "onPersistFailure 'send-once' needs keys: what it sends is signed",
  );
  check.finish();
  return Object.freeze(resolved);
}

type Check = OptionsCheck<WebhookOutboxOptions>;

/** Never shows a key's value. */
function readKeys(check: Check, given: unknown, role: 'all' | 'producer' | 'worker'): readonly WebhookKey[] {
  if (given === undefined && role === 'producer') return [];
  if (!Array.isArray(given) || given.length === 0) {
    check.problem('keys must be a list of at least one { id, key }, key being 32 bytes in base64');
    return [];
  }
  const ids = new Set<string>();
  given.forEach((entry: Partial<WebhookKey> | null, index) => {
    const { id, key } = entry ?? {};
    if (typeof id !== 'string' || !/^[\w.-]{1,64}$/.test(id))
      check.problem(`keys[${index}].id must be 1 to 64 letters, digits, '_', '-' or '.'`);
    else if (ids.has(id)) check.problem(`keys[${index}].id '${id}' is there twice`);
    else ids.add(id);
    if (typeof key !== 'string' || !/^[A-Za-z0-9+/]{43}=?$/.test(key))
      check.problem(`keys[${index}].key must be 32 bytes in base64 (openssl rand -base64 32)`);
  });
  return given as readonly WebhookKey[];
}

function readSchedule(check: Check, given: unknown): readonly number[] {
  if (!Array.isArray(given) || given.length > 100) {
    check.problem('schedule must be a list of at most 100 durations');
    return [];
  }
  return given.map((pause: unknown, index) => {
    const ms = parseDuration(pause);
    if (ms === undefined || ms > LONGEST_PAUSE_MS)
      check.problem(`schedule[${index}] must be a duration of at most 30 days such as '5m'`);
    return ms ?? 0;
  });
}

function readNetworks(check: Check, given: unknown): readonly string[] {
  if (!Array.isArray(given)) {
    check.problem("allowAddresses must be a list of networks such as '10.1.0.0/16'");
    return [];
  }
  given.forEach((network: unknown, index) => {
    if (typeof network !== 'string' || !isNetwork(network))
      check.problem(`allowAddresses[${index}] must be a network in CIDR notation such as '10.1.0.0/16'`);
  });
  return given as readonly string[];
}
