import { type ExclusiveRedis, startRedis } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { openRedis } from './instance.js';

export interface OwnRedis {
  readonly server: ExclusiveRedis;
  readonly redis: Redis;
}

/** A server for one suite alone, which its tests may break, and a client of it; both are there from `beforeAll` on. */
export function useOwnRedis(): OwnRedis {
  let own: OwnRedis | undefined;
  beforeAll(async () => {
    const server = await startRedis({ exclusive: true });
    own = { server, redis: openRedis(server.url) };
  });
  afterAll(async () => {
    own?.redis.disconnect();
    await own?.server.stop();
  });
  const started = (): OwnRedis => {
    if (own === undefined) throw new Error('the server is there from beforeAll on');
    return own;
  };
  return {
    get server() {
      return started().server;
    },
    get redis() {
      return started().redis;
    },
  };
}
