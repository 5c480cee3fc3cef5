import { arrived, keyed } from './lines.js';
import { OutboxWorld } from '../support/outbox-world.js';
import { startWithQueue, TestQueue } from '../support/queue-app.js';
import type { OutboxApp } from '../support/outbox-world.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

const EVENTS = [0, 1, 2, 3].map((n) => keyed(n));

/** A queue that brings each message at once. */
function queueOf(app: () => OutboxApp): TestQueue {
  return new TestQueue(
    ({ outboxId }) =>
      void app()
        .outbox.deliver(outboxId!)
        .catch(() => undefined),
  );
}

describe('an order with a queue', () => {
  it('is kept: the queue is told when it is the turn of an event', async () => {
    const queue = queueOf(() => app);
    const app: OutboxApp = await startWithQueue(world, queue, { handOffGrace: '1h' });
    await world.endpoint(app, 'x', { order: 'strict' });
    await app.outbox.sendMany(EVENTS);
    await world.settled(4);
    expect(arrived(world, 'x')).toEqual([0, 1, 2, 3]);
  });

  it('is kept by the sweep alone', async () => {
    const queue = queueOf(() => app);
    const app: OutboxApp = await startWithQueue(world, queue, { hints: 'off' });
    await world.endpoint(app, 'x', { order: 'strict' });
    await app.outbox.sendMany(EVENTS);
    await world.settled(4);
    expect(arrived(world, 'x')).toEqual([0, 1, 2, 3]);
    expect(queue.told.length).toBeGreaterThanOrEqual(4);
  });

  it('makes deliver say of one that waits that it is deferred', async () => {
    const queue = new TestQueue();
    const app = await startWithQueue(world, queue, { handOffGrace: '1h' });
    await world.endpoint(app, 'x', { order: 'strict' });
    const [, second] = await app.outbox.sendMany(EVENTS);
    expect(await app.outbox.deliver(second!.outboxId!)).toMatchObject({ deliveries: [{ result: 'deferred' }] });
    expect(arrived(world, 'x')).toEqual([]);
  });
});
