import { startRedis, waitFor } from '@nest-baton/testing';
import { Redis } from 'ioredis';
import { postRun, RunWorld } from './support/run-service.js';

const INPUT = Array.from({ length: 30 }, (_, i) => `line ${i}\n`).join('');

describe('a Redis that is flushed in the middle of a run', () => {
  it('costs time and nothing else', async () => {
    const redis = await startRedis({ exclusive: true });
    const world = await RunWorld.create(redis.url);
    const admin = new Redis(redis.url);
    try {
      const { baseUrl } = await world.startHere({ BATON_RUNS_PACE: '100ms' });
      await world.subscribe(baseUrl);
      const id = await postRun(baseUrl, INPUT);
      await waitFor(async () => (await world.view(baseUrl, id)).chunks >= 3, { description: 'three chunks' });
      await admin.flushall();
      await world.expectDone(baseUrl, id, INPUT);
    } finally {
      admin.disconnect();
      await world.stop();
      await redis.stop();
    }
  });
});
