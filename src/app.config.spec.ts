import { OptionsInvalidError } from '@nest-baton/core';
import { appConfigFromEnv } from './app.config.js';

const ENOUGH = {
  BATON_DATABASE_URL: 'postgres://u:p@db/baton',
  BATON_REDIS_URL: 'redis://cache',
  BATON_INGEST_URL: 'http://quickwit:7280',
};

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    appConfigFromEnv(env);
    return [];
  } catch (error) {
    return (error as OptionsInvalidError).problems;
  }
}

describe('the configuration by environment', () => {
  it('needs three URLs and nothing else', () => {
    expect(appConfigFromEnv(ENOUGH)).toMatchObject({ role: 'all', host: '127.0.0.1', port: 3000, logFormat: 'text' });
  });

  it('names every URL that is missing, in one report', () => {
    expect(problemsOf({})).toEqual([
      'BATON_DATABASE_URL is required',
      'BATON_REDIS_URL is required',
      'BATON_INGEST_URL is required',
    ]);
  });

  it('names every unknown variable with the one that was meant', () => {
    const problems = problemsOf({ ...ENOUGH, BATON_REDIS_RECONCILE_LEESE: '5s', BATON_PROT: '1', BATON_QQQQQQQ: '1' });
    expect(problems).toEqual([
      'unknown variable BATON_REDIS_RECONCILE_LEESE; did you mean BATON_REDIS_RECONCILE_LEASE?',
      'unknown variable BATON_PROT; did you mean BATON_PORT?',
      expect.stringContaining('unknown variable BATON_QQQQQQQ'),
    ]);
  });

  it('names everything wrong at once: kinds, bounds, contradictions, and nothing that is right', () => {
    const problems = problemsOf({
      ...ENOUGH,
      BATON_ROLE: 'boss',
      BATON_PORT: 'x',
      BATON_HOST: '0.0.0.0',
      BATON_RUNS_PACE: 'soon',
      BATON_WEBHOOK_OUTBOX_LEASE: '10s',
      BATON_WEBHOOK_OUTBOX_REQUEST_TIMEOUT: '20s',
      BATON_INGEST_MAX_BATCH_BYTES: '99999999',
      BATON_REDIS_RECONCILE_RECOVERY_MIN_IDLE: '1s',
      BATON_PG_STREAM_HINTS: 'off',
      BATON_PG_STREAM_POLL_INTERVAL: '0',
    });
    expect(problems.map((problem) => problem.split(' ')[0]).sort()).toEqual([
      'BATON_HOST',
      'BATON_INGEST_MAX_BATCH_BYTES',
      'BATON_PG_STREAM_POLL_INTERVAL',
      'BATON_PORT',
      'BATON_REDIS_RECONCILE_RECOVERY_MIN_IDLE',
      'BATON_ROLE',
      'BATON_RUNS_PACE',
      'BATON_WEBHOOK_OUTBOX_REQUEST_TIMEOUT',
    ]);
  });

  it('refuses a variable that would set for one module what the service sets for all', () => {
    const twice = { BATON_PG_STREAM_CONNECTION_STRING: 'postgres://other/b', BATON_WEBHOOK_OUTBOX_ROLE: 'producer' };
    expect(problemsOf({ ...ENOUGH, ...twice })).toEqual([
      expect.stringContaining('BATON_PG_STREAM_CONNECTION_STRING contradicts BATON_DATABASE_URL'),
      expect.stringContaining('BATON_WEBHOOK_OUTBOX_ROLE contradicts BATON_ROLE'),
    ]);
  });

  it('takes a cluster in the place of the URL, which is not needed then and does not stand in its way', () => {
    const BATON_REDIS_RECONCILE_CLUSTER = 'redis://a:6379,redis://b:6379';
    const { BATON_REDIS_URL: _, ...others } = ENOUGH;
    for (const env of [others, ENOUGH])
      expect(appConfigFromEnv({ ...env, BATON_REDIS_RECONCILE_CLUSTER })).toMatchObject({
        redisReconcile: { connection: { cluster: ['redis://a:6379', 'redis://b:6379'] } },
      });
    expect(problemsOf({ ...others, BATON_REDIS_RECONCILE_CLUSTER: '' })).toContain('BATON_REDIS_URL is required');
    expect(problemsOf({ ...others, BATON_REDIS_RECONCILE_CLUSTER: 'a:6379' })).toEqual([
      expect.stringContaining('cluster'),
    ]);
  });

  it('refuses an address that can be reached from outside without a token', () => {
    expect(problemsOf({ ...ENOUGH, BATON_HOST: '0.0.0.0' })).toEqual([expect.stringContaining('BATON_API_TOKEN')]);
    expect(problemsOf({ ...ENOUGH, BATON_HOST: '0.0.0.0', BATON_API_TOKEN: 't' })).toEqual([]);
  });

  it('refuses production without keys for the webhook secrets, and verifies migrations there', () => {
    const production = { ...ENOUGH, NODE_ENV: 'production' };
    expect(problemsOf(production)).toEqual([expect.stringContaining('BATON_WEBHOOK_OUTBOX_KEYS')]);
    const keys = `k1:${Buffer.alloc(32, 1).toString('base64')}`;
    const config = appConfigFromEnv({ ...production, BATON_WEBHOOK_OUTBOX_KEYS: keys });
    expect(config).toMatchObject({
      logFormat: 'json',
      runs: { migrations: 'verify' },
      pgStream: { migrations: 'verify' },
    });
  });

  it('counts an empty variable as not set', () => {
    expect(appConfigFromEnv({ ...ENOUGH, BATON_PORT: '', BATON_API_TOKEN: '' })).toMatchObject({
      port: 3000,
      apiToken: undefined,
    });
  });

  it('never shows a password', () => {
    expect(problemsOf({ ...ENOUGH, BATON_DATABASE_URL: 'mysql://u:secret@db/x' }).join()).not.toContain('secret');
  });
});
