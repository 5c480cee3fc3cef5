import fc from 'fast-check';
import {
  REDIS_RECONCILE_ENVIRONMENT,
  type RedisReconcileOptions,
  redisReconcileOptionsFromEnv,
  resolveRedisReconcileOptions,
} from './redis-reconcile.options.js';

const MINIMAL: RedisReconcileOptions = { connection: { url: 'redis://localhost' }, consumerId: 'me' };

const clusterClient = (redisOptions: object = {}) => ({ duplicate() {}, isCluster: true, options: { redisOptions } });

describe('resolveRedisReconcileOptions', () => {
  it('has a default for everything but connection and consumer id', () => {
    expect(resolveRedisReconcileOptions(MINIMAL, 'runs')).toMatchObject({
      service: 'runs',
      partitions: 1,
      leaseMs: 10_000,
      recovery: {
        intervalMs: undefined,
        minIdleMs: undefined,
        batchSize: 50,
        maxRetries: 3,
        dlqStream: 'dlq',
        dlqMaxLen: 10_000,
      },
      nackBackoff: { baseMs: 1000, factor: 2, capMs: 60_000, jitter: 'equal' },
      keyspaceEvents: 'auto',
      hints: 'on',
      shutdown: 'release',
      dedupeWindowMs: 600_000,
    });
  });

  it('is frozen, with what is in it', () => {
    const resolved = resolveRedisReconcileOptions(MINIMAL, 'runs');
    for (const part of [resolved, resolved.recovery, resolved.nackBackoff]) expect(Object.isFrozen(part)).toBe(true);
  });

  it.each<[string, object, RegExp]>([
    [
      'minIdle below the lease',
      { recovery: { minIdle: '9s' } },
      /recovery.minIdle must be at least the lease, 10000 ms/,
    ],
    ['a negative cap', { recovery: { dlqMaxLen: -1 } }, /recovery.dlqMaxLen must be at least 0/],
    ['negative retries', { recovery: { maxRetries: -1 } }, /recovery.maxRetries/],
    ['a batch of none', { recovery: { batchSize: 0 } }, /recovery.batchSize/],
    ['a batch of NaN', { recovery: { batchSize: NaN } }, /recovery.batchSize must be a whole number/],
    ['an unknown key', { recovery: { intervall: 1 } }, /recovery.unknown option intervall; did you mean interval/],
    ['a dead letter key that is another key', { recovery: { dlqStream: 'owned' } }, /recovery.dlqStream/],
    ['braces in the service', { service: 'a{b}' }, /service must have no braces/],
    ['a short lease', { lease: 999 }, /lease must be at least 1000 ms/],
    ['events required and hints off', { hints: 'off', keyspaceEvents: 'require' }, /contradicts hints 'off'/],
    ['two connections', { connection: { url: 'redis://a', instance: {} } }, /connection must be either/],
    ['no node of a cluster', { connection: { cluster: [] } }, /connection.cluster must be a list of at least one node/],
    ['a node that is none', { connection: { cluster: ['http://a'] } }, /connection.cluster\[0\] must be a URL/],
    ['a node without host', { connection: { cluster: [{ port: 1 }] } }, /connection.cluster\[0\]: host is required/],
    ['a database of a cluster', { connection: { cluster: ['redis://a/1'] } }, /only database 0, not 1/],
    ['a database by url', { connection: { url: 'redis://a?db=3' }, topology: 'cluster' }, /only database 0, not 3/],
    ['a database of a client', { connection: { instance: clusterClient({ db: 2 }) } }, /only database 0, not 2/],
    ['two passwords', { connection: { cluster: ['redis://:a@a', 'redis://:b@b'] } }, /one user and one password/],
    ['two protocols', { connection: { cluster: ['redis://a', 'rediss://b'] } }, /one protocol/],
    ['another topology', { topology: 'sentinel' }, /topology must be one of 'single', 'cluster'/],
    [
      'the nodes of a cluster as a single node',
      { connection: { cluster: ['redis://a'] }, topology: 'single' },
      /contradicts topology 'single'/,
    ],
    [
      'ClusterModeOSSRequiresClusterClient: a client of one node as a cluster',
      { connection: { instance: { duplicate() {} } }, topology: 'cluster' },
      /topology 'cluster' needs an ioredis Cluster as connection.instance/,
    ],
    [
      'a client of a cluster as a single node',
      { connection: { instance: clusterClient() }, topology: 'single' },
      /is an ioredis Cluster, and topology is 'single'/,
    ],
    [
      'a client of a cluster with a prefix',
      { connection: { instance: clusterClient({ keyPrefix: 'a' }) } },
      /keyPrefix/,
    ],
    ['what is no client', { connection: { instance: {} } }, /connection.instance must be a client of ioredis/],
    ['another protocol', { connection: { url: 'http://a' } }, /connection.url must be a URL/],
    [
      'a client with a prefix',
      { connection: { instance: { duplicate() {}, options: { keyPrefix: 'a' } } } },
      /keyPrefix/,
    ],
    ['a cap below the base', { nackBackoff: { base: 10, cap: 5 } }, /nackBackoff.cap must be at least base/],
  ])('refuses %s', (_what, options, message) => {
    expect(() => resolveRedisReconcileOptions({ ...MINIMAL, ...options })).toThrow(message);
  });

  it.each<[string, Partial<RedisReconcileOptions>, object, number]>([
    ['a URL', {}, { topology: 'single', connection: { url: 'redis://localhost' } }, 1],
    ['nodes', { connection: { cluster: ['redis://a', { host: 'b' }] } }, { topology: 'cluster' }, 8],
    [
      'the URL of a node of a cluster',
      { topology: 'cluster' },
      { topology: 'cluster', connection: { cluster: ['redis://localhost'] } },
      8,
    ],
    [
      'a client of a cluster',
      { connection: { instance: clusterClient() as never }, partitions: 3 },
      { topology: 'cluster' },
      3,
    ],
  ])('takes %s for what it is', (_what, options, connection, partitions) => {
    expect(resolveRedisReconcileOptions({ ...MINIMAL, ...options })).toMatchObject({ connection, partitions });
  });

  it('names everything that is wrong at once', () => {
    const options = { ...MINIMAL, lease: 'soon', partitions: 0 } as unknown as RedisReconcileOptions;
    expect(() => resolveRedisReconcileOptions(options)).toThrow(
      expect.objectContaining({ code: 'OPTIONS_INVALID', problems: [expect.any(String), expect.any(String)] }),
    );
  });

  it('takes of any values for retries and looks those within their bounds, and refuses all others by name', () => {
    const odd = fc.oneof(
      fc.integer(),
      fc.double(),
      fc.constantFrom('30s', '1h', '', 'soon', '-1s', null, true, {}, [], 0, -0, 1, 1e308, '99999999h'),
      fc.string(),
    );
    const names = ['interval', 'minIdle', 'batchSize', 'maxRetries', 'dlqMaxLen'] as const;
    const recoveries = fc.record(Object.fromEntries(names.map((name) => [name, odd])), { requiredKeys: [] });
    const isWhole = (value: number, min: number, max: number) =>
      Number.isInteger(value) && value >= min && value <= max;
    const refused = new Set<string>();
    fc.assert(
      fc.property(recoveries, fc.constantFrom<number | string>(1000, '10s', '5m'), (recovery, lease) => {
        const resolve = () => resolveRedisReconcileOptions({ ...MINIMAL, lease, recovery } as RedisReconcileOptions);
        try {
          const { recovery: resolved, leaseMs } = resolve();
          const { intervalMs = 100, minIdleMs = leaseMs, batchSize, maxRetries, dlqMaxLen } = resolved;
          expect(intervalMs >= 100 && intervalMs <= 86_400_000 && minIdleMs >= leaseMs).toBe(true);
          expect(isWhole(batchSize, 1, 500) && isWhole(maxRetries, 0, 1e6) && isWhole(dlqMaxLen, 0, 1e8)).toBe(true);
        } catch (error) {
          const { code, problems = [] } = error as { code?: string; problems?: readonly string[] };
          expect(code).toBe('OPTIONS_INVALID');
          const named = names.filter((name) => problems.some((problem) => problem.startsWith(`recovery.${name} `)));
          expect(named).not.toEqual([]);
          for (const name of named) refused.add(name);
        }
      }),
      { numRuns: 2_000 },
    );
    expect([...refused].sort()).toEqual([...names].sort());
  });

  it('needs a consumer id', () => {
    expect(() => resolveRedisReconcileOptions({ connection: MINIMAL.connection })).toThrow(
      expect.objectContaining({ code: 'CONSUMER_ID_MISSING' }),
    );
  });
});

describe('redisReconcileOptionsFromEnv', () => {
  it('takes the consumer id from its variable, else POD_NAME, else POD_IP, else fails', () => {
    const own = { BATON_REDIS_RECONCILE_CONSUMER_ID: 'own', POD_NAME: 'pod', POD_IP: '10.0.0.1' };
    expect(redisReconcileOptionsFromEnv(own).consumerId).toBe('own');
    expect(redisReconcileOptionsFromEnv({ POD_NAME: 'pod', POD_IP: '10.0.0.1' }).consumerId).toBe('pod');
    expect(redisReconcileOptionsFromEnv({ POD_NAME: '', POD_IP: '10.0.0.1' }).consumerId).toBe('10.0.0.1');
    expect(() => redisReconcileOptionsFromEnv({})).toThrow(expect.objectContaining({ code: 'CONSUMER_ID_MISSING' }));
  });

  it('reads every variable of its table into an option that resolves', () => {
    const values = { string: 'x', integer: '7', duration: '20s', number: '1', boolean: 'true', list: 'a' };
    const env = Object.fromEntries(REDIS_RECONCILE_ENVIRONMENT.map(({ variable, kind }) => [variable, values[kind]]));
    const choices = {
      BATON_REDIS_RECONCILE_URL: '',
      BATON_REDIS_RECONCILE_CLUSTER: 'redis://h:1, redis://h:2',
      BATON_REDIS_RECONCILE_TOPOLOGY: 'cluster',
      BATON_REDIS_RECONCILE_KEYSPACE_EVENTS: 'verify',
      BATON_REDIS_RECONCILE_HINTS: 'off',
      BATON_REDIS_RECONCILE_SHUTDOWN: 'drain',
    };
    const options = redisReconcileOptionsFromEnv({ ...env, ...choices }) as RedisReconcileOptions;
    expect(resolveRedisReconcileOptions(options)).toMatchObject({
      connection: { topology: 'cluster', connection: { cluster: ['redis://h:1', 'redis://h:2'] } },
      leaseMs: 20_000,
      partitions: 7,
      recovery: { intervalMs: 20_000, minIdleMs: 20_000, maxRetries: 7 },
      hints: 'off',
    });
  });
});
