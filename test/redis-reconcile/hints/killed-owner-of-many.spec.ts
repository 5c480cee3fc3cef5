import { type ExclusiveRedis, startRedis } from '@nest-baton/testing';
import { expectAllTakenOver, killOwnerOfMany } from '../support/killed-owner-of-many.js';

const TIMEOUT_MS = 120_000;

describe('a process that owns 500 and is killed, where expiry events are heard', () => {
  let server: ExclusiveRedis;
  beforeAll(async () => {
    server = await startRedis({ exclusive: true });
  });
  afterAll(() => server.stop());

  it(
    'leaves all of them to others by events alone, each once, as the second attempt',
    async () => {
      const options = { keyspaceEvents: 'require', recovery: { interval: '1h' } } as const;
      expectAllTakenOver(await killOwnerOfMany(server.url, options));
    },
    TIMEOUT_MS,
  );
});
