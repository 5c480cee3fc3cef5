import { waitFor } from '@nest-baton/testing';
import { StormedWorld } from './support/stormed-world.js';

let world: StormedWorld;
beforeAll(async () => {
  world = await StormedWorld.create();
});
afterAll(() => world.stop());

describe('clients that come and go 5 000 times a minute, and leave at any moment', () => {
  it.each(['sse', 'the Durable Streams protocol'] as const)(
    'leave nothing behind with %s, and hold up no append',
    async (face) => {
      await world.storm(face, 150, 5_000, 1);
      const before = await world.left(face);
      const { appendMs } = await world.storm(face, 300, 5_000, 2);
      // On a busy machine the last ones have left before they are accepted.
      await waitFor(async () => (await world.connections(face)) === 0, {
        timeoutMs: 20_000,
        description: 'the last socket to close',
      });
      const after = await world.left(face);
      expect(after).toMatchObject({ readers: 0, sseResponses: 0, watchedStreams: 0, waitingStreams: 0, sockets: 0 });
      expect(after.timers - before.timers).toBeLessThan(10);
      expect(after.heapMb - before.heapMb).toBeLessThan(8);
      expect(appendMs).toBeLessThan(2_000);
    },
    60_000,
  );
});
