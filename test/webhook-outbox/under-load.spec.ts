import { startPostgres, waitFor } from '@nest-baton/testing';
import type pg from 'pg';
import { refuse } from './support/gates.js';
import { header, type OutboxApp, OutboxWorld } from './support/outbox-world.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

async function sendMany(app: OutboxApp, count: number): Promise<void> {
  for (let sent = 0; sent < count; sent += 25)
    await Promise.all(Array.from({ length: 25 }, (_, i) => app.outbox.send({ type: 'a', id: `${sent + i}`, data: i })));
}

function ids(path: string): string[] {
  return world.requests(path).map((request) => header(request, 'webhook-id'));
}

describe('several relays', () => {
  it('never send one delivery twice', async () => {
    const producer = await world.start({ role: 'producer' });
    await world.endpoint(producer, 'x');
    await world.endpoint(producer, 'y');
    await world.start({ role: 'worker', pollInterval: '20ms', maxInFlight: 8 });
    await world.start({ role: 'worker', pollInterval: '20ms', maxInFlight: 8, listenConnectionString: world.url });
    await sendMany(producer, 300);
    await world.settled(600);
    const all = [...ids('x'), ...ids('y')];
    expect(all).toHaveLength(600);
    expect(new Set(all).size).toBe(600);
    expect((await world.deliveries()).every(({ state, attempts }) => state === 'delivered' && attempts === 1)).toBe(
      true,
    );
  });
});

describe('a backlog', () => {
  it.each([
    ['room for all of it', 32],
    ['two slots', 2],
  ])(
    'of five batches is drained by the look at the start, with %s and no other look for an hour',
    async (_what, slots) => {
      const producer = await world.start({ role: 'producer', hints: 'off' });
      await world.endpoint(producer, 'x');
      await sendMany(producer, 25);
      await world.start({ role: 'worker', hints: 'off', pollInterval: '1h', batchSize: 5, maxInFlight: slots });
      await world.settled(25);
      expect(new Set(ids('x')).size).toBe(25);
      expect(world.requests('x')).toHaveLength(25);
    },
  );
});

describe('a pool of two connections', () => {
  it('is enough for 64 requests at one time: leases are renewed, nothing waits for itself, nothing is sent twice', async () => {
    world.receiver.answer(() => ({ delayMs: 1_200 }));
    const app = await world.start({ maxInFlight: 64, lease: '3s', requestTimeout: '2s' }, 2);
    await world.endpoint(app, 'x');
    await sendMany(app, 200);
    await world.settled(200, 20_000);
    expect(ids('x')).toHaveLength(200);
    expect(new Set(ids('x')).size).toBe(200);
    expect((await app.outbox.stats()).relay).toMatchObject({ leasesLost: 0 });
  });
});

describe('a server that is restarted under load', () => {
  it.each(['fast', 'immediate'] as const)(
    '%s: loses nothing that was committed, and goes on by itself',
    async (mode) => {
      const server = await startPostgres({ exclusive: true });
      const own = await OutboxWorld.create(server.url);
      try {
        const app = await own.start({ lease: '2s', requestTimeout: '1s' });
        const { secret } = await own.endpoint(app, 'x');
        own.receiver.answer(() => ({ delayMs: 20 }));
        const accepted = new Set<string>();
        let isOver = false;
        const sending = (async () => {
          for (let i = 0; i < 150; i++)
            for (;;)
              try {
                accepted.add((await app.outbox.send({ type: 'a', id: `e${i}`, data: i })).id);
                break;
              } catch {
                await new Promise((resolve) => setTimeout(resolve, 50));
              }
          isOver = true;
        })();
        await waitFor(() => accepted.size >= 40, { description: 'the load to have begun' });
        await server.restart(mode);
        await sending;
        expect(isOver && accepted.size).toBe(150);
        await waitFor(async () => (await own.settled(150)).length === 150, {
          timeoutMs: 20_000,
          description: 'all settled',
        });
        const sent = own.requests('x');
        expect(new Set(sent.map((request) => header(request, 'webhook-id'))).size).toBe(150);
        expect(sent.every((request) => own.receiver.verify(request, secret))).toBe(true);
        expect((await own.deliveries()).every(({ state }) => state === 'delivered')).toBe(true);
      } finally {
        await own.stop();
        await server.stop();
      }
    },
  );
});

describe('a database that misbehaves', () => {
  it('loses nothing when its backends are terminated under load', async () => {
    const app = await world.start({ lease: '2s', requestTimeout: '1s' });
    const { secret } = await world.endpoint(app, 'x');
    const accepted = new Set<string>();
    const cutter = setInterval(() => {
      void world.admin
        .query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < 0.5`,
        )
        .catch(() => undefined);
    }, 60);
    try {
      for (let i = 0; i < 100; i++)
        for (;;)
          try {
            const { id } = await app.outbox.send({ type: 'a', id: `e${i}`, data: i });
            accepted.add(id);
            break;
          } catch {
            // Cut: whether it is stored or not, the same id makes the repetition safe.
          }
    } finally {
      clearInterval(cutter);
    }
    expect(accepted.size).toBe(100);
    await world.settled(100, 15_000);
    expect(new Set(ids('x')).size).toBe(100);
    expect(world.requests('x').every((request) => world.receiver.verify(request, secret))).toBe(true);
  });

  it('ends no process when it drops a connection in the moment between the pool and TypeORM', async () => {
    const app = await world.start({ role: 'producer' });
    const { master } = app.dataSource.driver as unknown as { master: pg.Pool };
    await new Promise<void>((resolve, reject) => {
      master.connect((error, client, release) => {
        if (error !== undefined || client === undefined) return reject(error ?? new Error('no client'));
        const listeners = client.listenerCount('error');
        release();
        if (listeners > 0) resolve();
        else reject(new Error('an error of this connection would be uncaught'));
      });
    });
  });

  it('is not asked to send again what it could not write: outcomes are kept, leases renewed, beyond the first lease', async () => {
    const app = await world.start({ lease: '1s', requestTimeout: '500ms' });
    await world.endpoint(app, 'x');
    const allow = await refuse(world.admin, 'settle');
    await sendMany(app, 50);
    await world.received('x', 50);
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect((await app.outbox.stats()).relay).toMatchObject({ unsettled: 50, leasesLost: 0 });
    await allow();
    await world.settled(50);
    expect(world.requests('x')).toHaveLength(50);
    await waitFor(async () => (await app.outbox.stats()).relay?.unsettled === 0, {
      description: 'all outcomes written',
    });
  });
});
