import { waitFor } from '@nest-baton/testing';
import { refuse } from './support/gates.js';
import { OutboxWorld } from './support/outbox-world.js';

describe('telling what happens', () => {
  let world: OutboxWorld;

  beforeEach(async () => (world = await OutboxWorld.create()));
  afterEach(() => world.stop());

  it('tells of looks that fail, and goes on looking', async () => {
    const app = await world.start();
    const failed: unknown[] = [];
    app.outbox.on('pollFailed', ({ error }) => failed.push(error));
    await world.endpoint(app, 'found');
    await world.admin.query('ALTER TABLE baton.webhook_deliveries RENAME TO elsewhere');
    await waitFor(() => failed.length >= 2, { description: 'two looks failed' });
    expect(String(failed[0])).toContain('webhook_deliveries');
    await world.admin.query('ALTER TABLE baton.elsewhere RENAME TO webhook_deliveries');
    await app.outbox.send({ type: 'thing.happened', data: 1 });
    await world.received('found', 1);
  });

  it('tells of outcomes that could not be written, with how many wait', async () => {
    const app = await world.start();
    const told: { waiting: number; error: unknown }[] = [];
    app.outbox.on('settleFailed', (failure) => told.push(failure));
    await world.endpoint(app, 'settled-later');
    const allow = await refuse(world.admin, 'settle');
    await app.outbox.send({ type: 'thing.happened', data: 1 });
    await waitFor(() => told.length > 0, { description: 'a write failed' });
    expect(told[0]).toMatchObject({ waiting: 1, error: expect.anything() });
    await allow();
    expect(await world.settled(1)).toMatchObject([{ state: 'delivered', attempts: 1 }]);
  });

  it('tells once what a shutdown left, also a listener beside one that throws', async () => {
    world.receiver.answer({ instead: 'never' });
    const app = await world.start({ shutdownTimeout: '100ms' });
    await world.endpoint(app, 'cut');
    await app.outbox.send({ type: 'thing.happened', data: 1 });
    await world.received('cut', 1);
    const told: unknown[] = [];
    app.outbox.on('stopped', () => {
      throw new Error('a listener of the test');
    });
    app.outbox.on('stopped', (report) => told.push(report));
    await app.close();
    expect(told).toEqual([{ released: 0, cut: 1, unsettled: 0 }]);
  });
});
