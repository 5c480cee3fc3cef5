import { randomBytes } from 'node:crypto';
import { FakeQuickwit, freePort, startPostgres, startRedis, WebhookReceiver } from '@nest-baton/testing';
import type { Cleanup } from './cleanup.js';

export interface Backends {
  readonly databaseUrl: string;
  readonly redisUrl: string;
  readonly sink: FakeQuickwit;
  readonly receiver: WebhookReceiver;
  /** Where Postgres and Redis came from, for the first line of the demo. */
  readonly origins: string;
  readonly webhookKeys: string;
}

/** Everything the service talks to, on this machine: real Postgres that waits for its disk, real Redis, and the two HTTP sides. */
export async function startBackends(cleanup: Cleanup): Promise<Backends> {
  const [postgres, redis, sink, receiver] = await Promise.all([
    cleanup.own(startPostgres({ exclusive: true, durable: true, settings: { max_connections: 200 } })),
    cleanup.own(startRedis({ exclusive: true })),
    cleanup.own(FakeQuickwit.start()),
    cleanup.own(WebhookReceiver.start()),
  ]);
  return {
    databaseUrl: postgres.url,
    redisUrl: redis.url,
    sink,
    receiver,
    origins: `Postgres from ${postgres.origin}, Redis from ${redis.origin}`,
    webhookKeys: `demo:${randomBytes(32).toString('base64')}`,
  };
}

export { freePort };
