import { sharedRedisUrl } from '@nest-baton/testing';
import { ReplyError } from 'ioredis';
import { HookedRedis } from './support/hooked-redis.js';
import { expectAllTakenOver, killOwnerOfMany } from './support/killed-owner-of-many.js';

const TIMEOUT_MS = 120_000;

describe('a process that owns 500 and is killed', () => {
  it(
    'leaves all of them to others without expiry events, each once, as the second attempt',
    async () => expectAllTakenOver(await killOwnerOfMany(sharedRedisUrl(), { keyspaceEvents: 'off' })),
    TIMEOUT_MS,
  );

  it(
    'leaves all of them to others where CONFIG was renamed away, though events were asked for',
    async () => {
      const refused = new (ReplyError as new (message: string) => Error)("ERR unknown command 'CONFIG'");
      const instance = new HookedRedis(sharedRedisUrl(), (name) => (name === 'config' ? refused : undefined));
      expectAllTakenOver(await killOwnerOfMany(sharedRedisUrl(), { keyspaceEvents: 'auto', connection: { instance } }));
      instance.disconnect();
    },
    TIMEOUT_MS,
  );
});
