import { waitFor } from '@nest-baton/testing';
import { OutboxWorld } from './support/outbox-world.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

const TABLES = ['endpoints', 'secrets', 'endpoint_states', 'events', 'hand_offs', 'lines', 'deliveries', 'attempts'];

/** What the next version may do to tables that this one still works on: add to them. */
async function upgrade(): Promise<void> {
  for (const table of TABLES) {
    await world.admin.query(
      `ALTER TABLE baton.webhook_${table} ADD COLUMN added_text text, ADD COLUMN added_count integer NOT NULL DEFAULT 0`,
    );
    // In front of what is there, as a plan of this version may then prefer it.
    await world.admin.query(`CREATE INDEX webhook_${table}_added ON baton.webhook_${table} (added_count)`);
  }
  await world.admin.query('CREATE TABLE baton.webhook_added (id uuid PRIMARY KEY)');
  await world.admin.query(`INSERT INTO baton.webhook_outbox_migrations (name) VALUES ('9999-of-the-next-version')`);
}

describe('two versions during a deployment', () => {
  it('share the tables: this one goes on, and starts, and does everything on those of the next one', async () => {
    let status = 500;
    world.receiver.answer(() => ({ status }));
    const running = await world.start({
      schedule: ['50ms'],
      retention: { delivered: '50ms' },
      cleanupInterval: '100ms',
    });
    const { id } = await world.endpoint(running, 'x');
    await running.outbox.send({ type: 'a', data: 'before' });
    await world.settled(1);
    await upgrade();
    const started = await world.start({ migrations: 'verify' });
    await started.endpoints.update(id, { rate: { perSecond: 500 }, globalMaxInFlight: 5, schedule: ['20ms'] });
    await started.endpoints.rotateSecret(id);
    await running.outbox.send({ type: 'a', data: 'fails' });
    await world.settled(2);
    status = 204;
    const { outboxId } = await running.outbox.send({ type: 'a', data: 'delivered' });
    await running.outbox.sendMany([1, 2, 3].map((data) => ({ type: 'a', data })));
    const deliveries = started.deliveries;
    await deliveries.replayMany({ filter: { endpointId: id, state: 'dead' } });
    await started.endpoints.sendTest(id);
    await started.outbox.deliver(outboxId!);
    await world.received('x', 2 + 2 + 7);
    await started.endpoints.disable(id);
    await started.endpoints.enable(id);
    await started.endpoints.delete(id);
    expect((await started.outbox.health()).state).toBe('up');
    const byState = async () => (await started.outbox.stats()).byState;
    await waitFor(async () => (await byState()).leased === 0, { description: 'the last outcomes to be written' });
    expect(await byState()).toMatchObject({ dead: 0, leased: 0, ready: 0 });
  }, 90_000);
});
