import { freshDatabase, startPostgres, waitFor } from '@nest-baton/testing';
import pg from 'pg';
import { connected, Listening } from './listening.js';

describe('a LISTEN connection that the server drops', () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>;
  let session: pg.Client;
  let listening: Listening;

  beforeAll(async () => {
    database = await freshDatabase();
    session = await connected(database.url);
  });
  beforeEach(() => void (listening = new Listening(database.url)));
  afterEach(() => listening.listener.stop());
  afterAll(async () => {
    await session.end();
    await database.drop();
  });

  it('LR1 re-subscribes and keeps delivering notifications, on exactly one backend, and on none after stop', async () => {
    await listening.listener.start();
    await session.query(`SELECT pg_notify('Runs', 'before')`);
    await waitFor(() => listening.payloads.length === 1, { description: 'the notification before the loss' });
    await listening.terminate(session);
    await waitFor(() => listening.listenings === 2, { description: 'listening again' });
    await session.query(`SELECT pg_notify('Runs', 'after')`);
    await waitFor(() => listening.payloads.length === 2, { description: 'the notification after the loss' });
    expect(listening.payloads).toEqual(['before', 'after']);
    expect(listening.lost).toHaveLength(1);
    expect(await listening.backends(session)).toHaveLength(1);
    await listening.listener.stop();
    await waitFor(async () => (await listening.backends(session)).length === 0, { description: 'no backend left' });
  });

  it('comes back on one backend after each of ten losses', async () => {
    await listening.listener.start();
    for (let loss = 1; loss <= 10; loss++) {
      await listening.terminate(session);
      await waitFor(() => listening.listenings === loss + 1, { description: `listening after loss ${loss}` });
      expect(await listening.backends(session)).toHaveLength(1);
    }
    expect(listening.lost).toHaveLength(10);
  });

  it('hears what is notified right after it says that it listens, in the case of its channel', async () => {
    await listening.listener.start();
    for (let i = 0; i < 50; i++)
      await session.query(`SELECT pg_notify('Runs', $1), pg_notify('runs', 'other')`, [`${i}`]);
    await waitFor(() => listening.payloads.length >= 50, { description: 'all fifty' });
    expect(listening.payloads).toEqual(Array.from({ length: 50 }, (_, i) => `${i}`));
  });

  it('rejects start() with the reason, and still comes to listen once the reason is gone', async () => {
    let connectionString = database.url.replace(/\/[^/]+$/, '/no_such_database');
    const late = new Listening('', {
      createClient: () => new pg.Client({ connectionString, application_name: 'late' }),
    });
    await expect(late.listener.start()).rejects.toMatchObject({ code: '3D000' });
    expect(late.lost).toEqual([expect.objectContaining({ code: '3D000' })]);
    connectionString = database.url;
    await waitFor(() => late.state === 'listening', { description: 'listening after all' });
    await late.listener.stop();
  });

  it('tells a refused connection by its own code', async () => {
    const nowhere = new Listening('postgres://127.0.0.1:1/x');
    await expect(nowhere.listener.start()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect(nowhere.lost).toEqual([expect.objectContaining({ code: 'ECONNREFUSED' })]);
    await nowhere.listener.stop();
  });
});

describe('stop(), at any moment of connecting', () => {
  it('lets start() go and leaves no backend', async () => {
    const database = await freshDatabase();
    const session = await connected(database.url);
    for (let round = 0; round < 20; round++) {
      const listening = new Listening(database.url);
      const started = listening.listener.start();
      // Each round stops a few turns of the loop later, from before the socket connects until after LISTEN.
      for (let turn = 0; turn < round; turn++) await new Promise((resolve) => setImmediate(resolve));
      await listening.listener.stop();
      await started;
      expect(listening.state).toBe('stopped');
      await waitFor(async () => (await listening.backends(session)).length === 0, { description: 'no backend left' });
    }
    await session.end();
    await database.drop();
  });
});

describe('an outage of the whole server', () => {
  it('is outlived: the listener comes back after a crash and a restart', async () => {
    const postgres = await startPostgres({ exclusive: true });
    const listening = new Listening(postgres.url);
    await listening.listener.start();
    await postgres.restart('immediate');
    await waitFor(() => listening.listenings === 2, { description: 'listening after the crash' });
    const session = await connected(postgres.url);
    expect(await listening.backends(session)).toHaveLength(1);
    await session.end();
    await listening.listener.stop();
    await postgres.stop();
  }, 30_000);

  it('LR2 close() during an outage stops reconnecting', async () => {
    const postgres = await startPostgres({ exclusive: true });
    const listening = new Listening(postgres.url, {
      backoff: { baseMs: 20, factor: 1, capMs: 20, jitter: 'none' },
    });
    await listening.listener.start();
    await postgres.stop();
    await waitFor(() => listening.lost.length >= 3, { description: 'three failures' });
    await listening.listener.stop();
    const failures = listening.lost.length;
    // Five back-offs long: whatever still ran would have failed again.
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([listening.lost.length, listening.state]).toEqual([failures, 'stopped']);
  }, 30_000);
});
