import { errorCode, describeError } from '@nest-baton/core';
import type { RedisConnectionOptions } from '@nest-baton/redis-reconcile';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import type { AppConfig } from './app.config.js';

/** Long enough for a database that is waking up, short enough for a person who waits at a terminal. */
const CONNECT_TIMEOUT_MS = 5_000;

/**
 * Sentences about the servers that this process cannot do without and cannot reach; empty when all answer. Asked before any module starts, so
 * that the first thing a reader sees is not the stack of whichever module happened to connect first.
 */
export async function unreachableServers(config: AppConfig): Promise<readonly string[]> {
  const answers = await Promise.all([askPostgres(config.databaseUrl), askRedis(config.redisReconcile.connection)]);
  return answers.filter((sentence) => sentence !== undefined);
}

async function askPostgres(url: string): Promise<string | undefined> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return undefined;
  } catch (error) {
    return unreachable('Postgres', url, 'BATON_DATABASE_URL', error);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Of a cluster one node that answers is enough: it knows the others. */
async function askRedis(connection: RedisConnectionOptions): Promise<string | undefined> {
  if ('url' in connection) return askNode(connection.url, 'BATON_REDIS_URL');
  const urls = 'cluster' in connection ? connection.cluster.filter((node) => typeof node === 'string') : [];
  const answers = await Promise.all(urls.map((url) => askNode(url, 'BATON_REDIS_RECONCILE_CLUSTER')));
  return answers.includes(undefined) ? undefined : answers[0];
}

async function askNode(url: string, variable: string): Promise<string | undefined> {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: CONNECT_TIMEOUT_MS,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  let lastError: unknown;
  redis.on('error', (error) => (lastError = error));
  try {
    await redis.connect();
    await redis.ping();
    return undefined;
  } catch (error) {
    return unreachable('Redis', url, variable, lastError ?? error);
  } finally {
    redis.disconnect();
  }
}

/** One sentence with the remedy; the URL's credentials and query stay out of it. Pure. */
export function unreachable(server: string, url: string, variable: string, error: unknown): string {
  const { host } = new URL(url);
  const remedies: Readonly<Record<string, string>> = {
    ECONNREFUSED: `nothing listens there: start ${server}, or correct ${variable}`,
    ENOTFOUND: `that name does not resolve: correct the host in ${variable}`,
    ETIMEDOUT: `it does not answer: check the network, or correct ${variable}`,
    '28P01': `it refuses the user or password: correct them in ${variable}`,
    '3D000': `it has no such database: create it, or correct the path of ${variable}`,
  };
  const said = describeError(error).replace(/\.+$/, '');
  const remedy =
    remedies[errorCode(error) ?? ''] ??
    (/NOAUTH|WRONGPASS|password must be a string/.test(said)
      ? `it wants a password (${said}): put it into ${variable}, as in scheme://user:password@host`
      : `${said}: check the server (where it wants TLS: rediss://, or ?sslmode=require), or correct ${variable}`);
  return `${server} at ${host} cannot be used, ${remedy}.`;
}
