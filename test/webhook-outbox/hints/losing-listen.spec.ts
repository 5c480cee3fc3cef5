import { freePort, waitFor } from '@nest-baton/testing';
import { OutboxWorld } from '../support/outbox-world.js';

describe('LISTEN', () => {
  let world: OutboxWorld;

  beforeEach(async () => (world = await OutboxWorld.create()));
  afterEach(() => world.stop());

  it('makes health say how deliveries are found, and is told of when it is lost and when it is back', async () => {
    const app = await world.start({ hints: 'on', listenConnectionString: world.url });
    const told: string[] = [];
    app.outbox.on('listenerLost', ({ error }) => told.push(`lost ${error === undefined ? '' : 'with a reason'}`));
    app.outbox.on('listening', ({ reconnects }) => told.push(`listening ${reconnects}`));
    const isListening = async (): Promise<boolean> => {
      const health = await app.outbox.health();
      return health.state === 'up' && health.mode === 'listening';
    };
    await waitFor(isListening, { description: 'LISTEN is active' });
    await world.admin.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'baton-webhook-outbox-listen' AND datname = current_database()`,
    );
    await waitFor(() => told.some((line) => line.startsWith('lost')), { description: 'the loss is told' });
    await waitFor(isListening, { description: 'LISTEN is active again' });
    expect(told.slice(-2)).toEqual(['lost with a reason', 'listening 1']);
  });

  it('degrades health while it cannot be had, and nothing else: the poll finds what is due', async () => {
    const app = await world.start({
      hints: 'on',
      listenConnectionString: `postgres://nobody@127.0.0.1:${await freePort()}/nothing`,
    });
    expect(await app.outbox.health()).toMatchObject({ state: 'degraded', reason: 'listener_lost', lagMs: 0 });
    await world.endpoint(app, 'found');
    await app.outbox.send({ type: 'thing.happened', data: 1 });
    await world.received('found', 1);
  });

  it('is not missed where hints are off', async () => {
    const app = await world.start({ hints: 'off', listenConnectionString: world.url });
    expect(await app.outbox.health()).toMatchObject({ state: 'up', mode: 'polling' });
  });
});
