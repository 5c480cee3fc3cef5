import { soakPlan, waitFor } from '@nest-baton/testing';
import { StormedWorld } from '../pg-stream/support/stormed-world.js';

const PER_MINUTE = 5_000;

describe('clients that come and go 5 000 times a minute, and leave at any moment', () => {
  const { seed, durationMs } = soakPlan();
  const clients = Math.ceil((PER_MINUTE * durationMs) / 60_000);

  it.each(['sse', 'the Durable Streams protocol'] as const)(
    `leave nothing behind with %s, and hold up no append (SLOW_SEED=${seed} SLOW_SECONDS=${durationMs / 1000})`,
    async (face) => {
      const world = await StormedWorld.create();
      await world.storm(face, 500, PER_MINUTE * 2, seed);
      const before = await world.left(face);
      const { appendMs, left } = await world.storm(face, clients, PER_MINUTE, seed + 1);
      await waitFor(async () => (await world.left(face)).sockets === 0, { description: 'the last socket to close' });
      const after = await world.left(face);
      expect(after).toMatchObject({ readers: 0, sseResponses: 0, watchedStreams: 0, waitingStreams: 0, sockets: 0 });
      expect(after.timers - before.timers).toBeLessThan(10);
      expect(after.heapMb - before.heapMb).toBeLessThan(8);
      expect(appendMs).toBeLessThan(2_000);
      expect(Object.values(left).every((count) => count > clients / 10)).toBe(true);
      await world.stop();
    },
    durationMs + 90_000,
  );
});
