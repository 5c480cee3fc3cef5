import { randomToken } from '@nest-baton/core';
import {
  getRedisReconcileToken,
  type Handoff,
  HandoffHandler,
  type RedisReconcileEvents,
  RedisReconcileModule,
  type RedisReconcileOptions,
  type RedisReconcileService,
} from '@nest-baton/redis-reconcile';
import { hintsUnderTest, sharedRedisUrl } from '@nest-baton/testing';
import type { INestApplicationContext } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { Redis } from 'ioredis';

export interface InstanceSettings {
  readonly url?: string;
  readonly service: string;
  /** Of the instance. */
  readonly name?: string;
  /** Without it the instance only hands off. */
  readonly handle?: (handoff: Handoff) => Promise<void>;
  readonly onDeadLetter?: (handoff: Handoff, reason: string) => Promise<void>;
  readonly concurrency?: number;
  readonly options?: Partial<RedisReconcileOptions>;
}

export interface Instance {
  readonly service: RedisReconcileService;
  readonly app: INestApplicationContext;
  /** Every event so far, oldest first. */
  readonly events: readonly { readonly name: string; readonly payload: Record<string, unknown> }[];
  eventsOf(name: keyof RedisReconcileEvents): Record<string, unknown>[];
  close(): Promise<void>;
}

const EVENTS = [
  'acquired',
  'done',
  'nacked',
  'released',
  'lost',
  'doneRefused',
  'requeued',
  'deadLettered',
  'deadLetterHandled',
  'abandoned',
  'redriven',
  'purged',
  'coverageChanged',
  'topologyChanged',
  'repartitioned',
  'scanned',
  'stopped',
] as const;

/** As short as real leases allow; the shared server's configuration is left alone. */
export const FAST: Partial<RedisReconcileOptions> = {
  lease: '1s',
  recovery: { interval: 200 },
  nackBackoff: { base: 20, cap: 50 },
  keyspaceEvents: 'off',
  hints: hintsUnderTest(),
  shutdownTimeout: '2s',
  commandTimeout: '1s',
  block: 500,
};

export function freshService(): string {
  return `test-${randomToken(8)}`;
}

/** An application with one instance, started. */
export async function startInstance(settings: InstanceSettings): Promise<Instance> {
  const { url = sharedRedisUrl(), service, name: instanceName = 'default', options = {} } = settings;
  const module = await Test.createTestingModule({
    imports: [
      RedisReconcileModule.forRoot({
        name: instanceName,
        connection: { url },
        service,
        consumerId: 'test',
        ...FAST,
        ...options,
        recovery: { ...FAST.recovery, ...options.recovery },
      }),
    ],
    providers: settings.handle === undefined ? [] : [handlerClass(settings)],
  })
    .setLogger({ log: ignore, warn: ignore, error: ignore, debug: ignore, verbose: ignore, fatal: ignore })
    .compile();
  const instance = module.get<RedisReconcileService>(getRedisReconcileToken(instanceName));
  const events: { name: string; payload: Record<string, unknown> }[] = [];
  for (const name of EVENTS)
    instance.on(name, (payload) => void events.push({ name, payload: payload as unknown as Record<string, unknown> }));
  await module.init();
  return {
    service: instance,
    app: module,
    events,
    eventsOf: (name) => events.filter((event) => event.name === name).map(({ payload }) => payload),
    close: () => module.close(),
  };
}

function handlerClass({ name = 'default', handle, onDeadLetter, concurrency }: InstanceSettings) {
  class TestWorker {
    readonly handle = handle;
    readonly onDeadLetter = onDeadLetter;
  }
  HandoffHandler(name, concurrency === undefined ? {} : { concurrency })(TestWorker);
  return TestWorker;
}

function ignore(): void {
  // the suite looks at events, not at logs
}

/** The server as an operator sees it. */
export function openRedis(url = sharedRedisUrl()): Redis {
  return new Redis(url, { disconnectTimeout: 100, maxRetriesPerRequest: 3 });
}

/** Keys of a partition, of the only one if not told otherwise, as the README documents them. */
export function keysOf(service: string, partition = 0, partitions = 1) {
  const tag = `{${service}:${partition}/${partitions}}`;
  return {
    stream: `${tag}:handoffs`,
    owned: `${tag}:owned`,
    dlq: `${tag}:dlq`,
    lease: (dataStream: string) => `${tag}:lease:${dataStream}`,
    waiting: (dataStream: string) => `${tag}:waiting:${dataStream}`,
  };
}

/**
 * What a worker that died leaves behind: entries read and leased by a consumer that is no more. `leaseMs` 0: the lease has run out already.
 */
export async function ownAsGhost(
  redis: Redis,
  service: string,
  count: number,
  leaseMs = 0,
  keys = keysOf(service),
): Promise<string[]> {
  await redis.xgroup('CREATE', keys.stream, 'owners', '0', 'MKSTREAM').catch(() => undefined);
  const reply = (await redis.call(
    'XREADGROUP',
    'GROUP',
    'owners',
    'ghost',
    'COUNT',
    count,
    'STREAMS',
    keys.stream,
    '>',
  )) as [string, [string, string[]][]][] | null;
  const names: string[] = [];
  for (const [id, fields] of reply?.[0]?.[1] ?? []) {
    const dataStream = fields[fields.indexOf('stream') + 1] ?? '';
    names.push(dataStream);
    const record = { id, token: `ghost-${id}`, fence: '1', consumer: 'ghost' };
    await redis.hset(keys.owned, dataStream, JSON.stringify(record));
    if (leaseMs > 0) await redis.set(keys.lease(dataStream), record.token, 'PX', leaseMs);
    await redis.call('XCLAIM', keys.stream, 'owners', 'ghost', 0, id, 'RETRYCOUNT', 2, 'JUSTID');
  }
  return names;
}

/** Lets the leases of a ghost run out `inMs` from now: after the listeners have started, however long that took. */
export async function letGhostLapse(
  redis: Redis,
  service: string,
  dataStreams: readonly string[],
  inMs: number,
): Promise<void> {
  const keys = keysOf(service);
  await Promise.all(dataStreams.map((dataStream) => redis.pexpire(keys.lease(dataStream), inMs)));
}

/** Resolves when the signal aborts, with its reason. */
export function aborted(signal: AbortSignal): Promise<unknown> {
  if (signal.aborted) return Promise.resolve(signal.reason);
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(signal.reason), { once: true }));
}

/** For one suite: starts instances that are closed after each of its tests. */
export function startInstances(): typeof startInstance {
  const open: Instance[] = [];
  afterEach(async () => {
    await Promise.all(open.splice(0).map((instance) => instance.close()));
  });
  return async (...args) => {
    const instance = await startInstance(...args);
    open.push(instance);
    return instance;
  };
}
