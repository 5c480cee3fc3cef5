import { FaultProxy, waitFor } from '@nest-baton/testing';
import { OutboxWorld } from '../support/outbox-world.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

describe('a LISTEN connection that is open and hears nothing', () => {
  it('delays nothing beyond a poll, is found by its missing echo, and replaced', async () => {
    const proxy = await FaultProxy.start({ target: world.url });
    try {
      const worker = await world.start({
        role: 'worker',
        hints: 'on',
        listenConnectionString: proxy.url,
        pollInterval: '500ms',
      });
      const producer = await world.start({ role: 'producer', hints: 'on' });
      await world.endpoint(producer, 'x');
      const isListening = async (): Promise<boolean> => {
        const health = await worker.outbox.health();
        return health.state === 'up' && health.mode === 'listening';
      };
      await waitFor(isListening, { description: 'LISTEN' });
      const losses: string[] = [];
      worker.outbox.on('listenerLost', ({ error }) => losses.push(String(error)));
      for (const connection of proxy.connections) connection.blackHole();
      for (let nth = 1; nth <= 3; nth++) {
        await producer.outbox.send({ type: 'a', data: nth });
        await world.received('x', nth, 5_000);
      }
      await waitFor(() => losses.length > 0, { timeoutMs: 30_000, description: 'the loss to be noticed' });
      expect(losses[0]).toMatch(/hears nothing/);
      await waitFor(isListening, { timeoutMs: 20_000, description: 'another LISTEN' });
      expect(world.requests('x')).toHaveLength(3);
    } finally {
      await proxy.stop();
    }
  }, 60_000);
});
