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
      const before = await world.handoffOf(id);
      await admin.flushall();
      await world.expectDone(baseUrl, id, INPUT);
      // Another hand-off and another ownership: the owner of before the flush has lost the run, and the poller has handed it off again.
      const after = await world.handoffOf(id);
      expect(after.handoffId).not.toBe(before.handoffId);
      expect(after.fence).toBeGreaterThan(before.fence);
    } finally {
      admin.disconnect();
      await world.stop();
      await redis.stop();
    }
  });
});
