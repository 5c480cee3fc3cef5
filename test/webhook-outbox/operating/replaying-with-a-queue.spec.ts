import { waitFor } from '@nest-baton/testing';
import { OutboxWorld } from '../support/outbox-world.js';
import { handOffs, startWithQueue, TestQueue } from '../support/queue-app.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

describe('with a queue, what is replayed', () => {
  it('is told to it again, without waiting for anything to be found', async () => {
    let status = 400;
    world.receiver.answer(() => ({ status }));
    const queue = new TestQueue();
    const app = await startWithQueue(world, queue);
    const deliveries = app.deliveries;
    await world.endpoint(app, 'x');
    for (let nth = 0; nth < 3; nth++)
      await app.outbox.deliver((await app.outbox.send({ type: 'a', data: nth })).outboxId!);
    await world.settled(3);
    await waitFor(async () => (await handOffs(world)).length === 0, { description: 'nothing left to hand over' });
    const told = queue.told.length;
    status = 204;
    const [{ id, outboxId } = { id: '', outboxId: '' }] = (await deliveries.list()).deliveries;
    await deliveries.replay(id);
    await waitFor(() => queue.told.length > told, { description: 'the queue to be told' });
    expect(queue.told.slice(told)).toMatchObject([{ outboxId }]);
    expect(await app.outbox.deliver(outboxId)).toMatchObject({});
    expect(await deliveries.get(id)).toMatchObject({ state: 'delivered', attempts: 1 });
    expect(await deliveries.replayMany({ filter: { state: 'failed' } })).toMatchObject({ replayed: 2 });
    await waitFor(() => new Set(queue.told.slice(told).map((message) => message.outboxId)).size === 3, {
      description: 'the queue to be told of the others',
    });
  });
});
