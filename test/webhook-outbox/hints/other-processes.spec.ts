import { waitFor } from '@nest-baton/testing';
import { OutboxWorld } from '../support/outbox-world.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

describe('another process', () => {
  it('wakes its relay by NOTIFY after the commit, and by nothing when its hints are off', async () => {
    const worker = await world.start({
      role: 'worker',
      hints: 'on',
      pollInterval: '1h',
      listenConnectionString: world.url,
    });
    const producer = await world.start({ role: 'producer', hints: 'on' });
    const silent = await world.start({ role: 'producer', hints: 'off' });
    await world.endpoint(producer, 'x');
    await waitFor(
      async () => (await world.admin.query(`SELECT FROM pg_stat_activity WHERE query LIKE 'LISTEN%'`)).rowCount! > 0,
      { description: 'LISTEN' },
    );
    await silent.outbox.send({ type: 'a', data: 'silent' });
    await producer.dataSource.query('SELECT pg_sleep(0.3)');
    expect(world.requests('x')).toHaveLength(0);
    await producer.outbox.send({ type: 'a', data: 'told' });
    await world.received('x', 2);
    expect((await worker.outbox.stats()).relay).toMatchObject({ leasesLost: 0 });
    expect((await producer.outbox.stats()).relay).toBeUndefined();
  });
});

describe('the same process', () => {
  it('wakes its relay by a kick at the commit, once for each, with nobody to LISTEN and an hour between looks', async () => {
    const app = await world.start({ role: 'all', hints: 'on', pollInterval: '1h' });
    await world.endpoint(app, 'x');
    // The look at the start may find the first; nothing but a kick finds the second.
    for (const n of [1, 2]) {
      await app.outbox.send({ type: 'a', data: n });
      await world.settled(n);
    }
    expect(world.requests('x')).toHaveLength(2);
  });
});
