import type { PgPoolLike } from './connecting/pg-pool.js';
import {
  PG_STREAM_ENVIRONMENT,
  type PgStreamOptions,
  pgStreamOptionsFromEnv,
  resolvePgStreamOptions,
} from './pg-stream.options.js';

const connectionString = 'postgres://user:swordfish@localhost/db';
const pool = { options: {}, connect: async () => Promise.reject(new Error('not now')) } as PgPoolLike;

function problemsOf(options: unknown): readonly string[] {
  try {
    resolvePgStreamOptions(options as PgStreamOptions);
    return [];
  } catch (error) {
    return (error as { problems: readonly string[] }).problems;
  }
}

describe('options', () => {
  it('have the documented defaults, and are frozen', () => {
    const resolved = resolvePgStreamOptions({ connectionString });
    expect(resolved).toEqual({
      connectionString,
      pool: undefined,
      listenConnectionString: undefined,
      schema: 'baton',
      migrations: 'auto',
      hints: 'on',
      notify: 'coalesced',
      pollIntervalMs: 5_000,
      startup: 'require',
      maxChunkBytes: 1_048_576,
      maxPendingBytes: 67_108_864,
      lockTimeoutMs: 5_000,
      poolSize: 10,
      heartbeatMs: 15_000,
      sweepIntervalMs: 10_000,
      retention: { closedForMs: undefined, maxAgeMs: undefined, maxBytes: undefined },
    });
    expect(Object.isFrozen(resolved)).toBe(true);
  });

  it.each([
    [{}, /connectionString or pool is required/],
    [undefined, /connectionString or pool is required/],
    [{ connectionString, pool }, /exclude each other/],
    [{ pool: { options: {} } }, /connect\(\)/],
    [{ pool: { connect: pool.connect } }, /listenConnectionString is required/],
    [{ pool, poolSize: 3 }, /poolSize has no effect/],
    [{ connectionString: 'mysql://x' }, /connectionString must be a URL/],
    [{ connectionString, schema: 'x'.repeat(64) }, /63 bytes/],
    [{ connectionString, pollInterval: -1 }, /pollInterval must be a duration/],
    [{ connectionString, pollInterval: NaN }, /pollInterval must be a duration/],
    [{ connectionString, pollInterval: '10ms' }, /0 or at least 50 ms/],
    [{ connectionString, hints: 'off', pollInterval: 0 }, /nothing would ever wake a reader/],
    [{ connectionString, sweepInterval: 99 }, /0 or at least 100 ms/],
    [{ connectionString, maxChunkBytes: 0 }, /maxChunkBytes must be at least 1/],
    [{ connectionString, retention: { maxAge: 999 } }, /retention.maxAge must be at least 1000/],
    [{ connectionString, retention: { closedFor: 'soon' } }, /retention.closedFor must be a duration/],
    [{ connectionString, retention: { maxBytes: 1_048_575 } }, /retention.maxBytes must be at least 1048576/],
    [{ connectionString, retention: { age: 1 } }, /retention.*age/],
    [{ connectionString, retention: 7 }, /retention.options must be an object/],
    [{ connectionString, polInterval: 1 }, /pollInterval/],
  ])('refuse %j', (options, problem) => {
    expect(problemsOf(options)).toEqual([expect.stringMatching(problem)]);
    expect(problemsOf(options).join()).not.toContain('swordfish');
  });

  it('come from the environment under the name of each', () => {
    for (const { variable, option } of PG_STREAM_ENVIRONMENT)
      expect(variable).toBe(`BATON_PG_STREAM_${option.replace('.', '_').replace(/[A-Z]/g, '_$&').toUpperCase()}`);
    expect(pgStreamOptionsFromEnv({ BATON_PG_STREAM_HINTS: 'off', BATON_PG_STREAM_POLL_INTERVAL: '1s' })).toEqual({
      hints: 'off',
      pollInterval: '1s',
    });
    expect(
      resolvePgStreamOptions({
        connectionString,
        ...pgStreamOptionsFromEnv({
          BATON_PG_STREAM_RETENTION_CLOSED_FOR: '1h',
          BATON_PG_STREAM_RETENTION_MAX_BYTES: '2000000',
        }),
      }).retention,
    ).toEqual({ closedForMs: 3_600_000, maxAgeMs: undefined, maxBytes: 2_000_000 });
  });
});
