import type { PgStreamService } from '@nest-baton/pg-stream';
import { startProcess, waitFor } from '@nest-baton/testing';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { StreamsWorld, textsOf } from './support/streams-world.js';

const SIZE = 3;

let world: StreamsWorld;
let pool: pg.Pool;
let streams: PgStreamService;

beforeAll(async () => {
  world = await StreamsWorld.create();
});
beforeEach(async () => {
  pool = new pg.Pool({ connectionString: world.url, max: SIZE });
  // A connection that is on its way out when the database is dropped.
  pool.on('error', () => undefined);
  streams = await world.service({ pool, hints: 'off' });
});
afterEach(async () => {
  await streams.beforeApplicationShutdown();
  await streams.onApplicationShutdown();
  await pool.end();
});
afterAll(() => world.stop());

/** Every connection the pool has, each with an open transaction. */
async function transactions(begin = 'BEGIN'): Promise<pg.PoolClient[]> {
  const clients = await Promise.all(Array.from({ length: SIZE }, () => pool.connect()));
  for (const client of clients) await client.query(begin);
  return clients;
}

async function settled<T>(
  promise: Promise<T>,
  timeoutMs: number,
  description: string,
): Promise<PromiseSettledResult<T>> {
  let result: PromiseSettledResult<T> | undefined;
  void Promise.allSettled([promise]).then(([one]) => (result = one));
  return waitFor(() => result!, { timeoutMs, description });
}

describe('a pool of the user all of whose connections are in transactions', () => {
  it('lets each append to and close a stream that exists', async () => {
    const names = Array.from({ length: SIZE }, (_, i) => `known ${i}`);
    for (const name of names) await streams.open(name);
    const clients = await transactions();
    const writes = clients.map(async (transaction, i) => {
      await streams.append(names[i]!, 'a', { transaction });
      await streams.closeStream(names[i]!, { transaction });
      await transaction.query('COMMIT');
    });
    const result = await settled(Promise.all(writes), 3_000, 'every transaction to write');
    for (const client of clients) client.release();
    expect(result.status).toBe('fulfilled');
    for (const name of names) expect(await textsOf(streams.read(name))).toEqual(['a']);
  });

  it('is not waited for longer than 3 s to answer whether the database is there, and keeps its connections', async () => {
    const clients = await transactions();
    try {
      const both = Promise.all([streams.health(), streams.health()]);
      const down = { state: 'down', reason: 'database' };
      expect(await settled(both, 3_900, 'the health')).toMatchObject({ value: [down, down] });
      // Whoever asks at the same time shares one place in the queue.
      expect(pool.waitingCount).toBe(1);
    } finally {
      for (const client of clients) client.release();
    }
    await waitFor(() => pool.waitingCount === 0 && pool.idleCount === SIZE, {
      description: 'every connection to be idle',
    });
    expect(await streams.health()).toMatchObject({ state: 'up' });
  }, 15_000);

  it('is not needed for an append', async () => {
    const clients = await transactions();
    const result = await settled(streams.append('own connection', 'a'), 3_000, 'the append');
    for (const client of clients) client.release();
    expect(result).toMatchObject({ value: { lastIndex: 0 } });
  });

  it('is left to its callers by the sweep, but not for ever, and the shutdown does not wait for that', async () => {
    const sweeping = await world.service({ pool, hints: 'off', sweepInterval: '100ms' });
    const clients = await transactions();
    try {
      const startedAt = performance.now();
      await waitFor(() => pool.waitingCount === 1, { description: 'the sweep to wait for a connection' });
      // Five sweeps are left out before.
      expect(performance.now() - startedAt).toBeGreaterThan(400);
      await settled(sweeping.beforeApplicationShutdown(), 2_000, 'the shutdown');
    } finally {
      for (const client of clients) client.release();
    }
    await waitFor(() => pool.waitingCount === 0, { description: 'the queue to be empty' });
    await sweeping.onApplicationShutdown();
  });

  it('can have any number of calls waiting for it without a warning', async () => {
    // A process of its own: what Node warns of is not heard inside of Jest.
    const entry = fileURLToPath(new URL('support/crowded-process.ts', import.meta.url));
    const child = await startProcess({ entry, args: [world.url] });
    expect(await child.exited).toMatchObject({ code: 0 });
    expect(child.lines).toContain('WARNINGS []');
  });

  it('has all connections back when the shutdown returns', async () => {
    const holder = await world.client();
    await streams.open('busy');
    await holder.query('BEGIN');
    await holder.query(`SELECT FROM baton.streams WHERE name = 'busy' FOR UPDATE`);
    const trimmed = settled(streams.trim('busy', { before: 1 }), 10_000, 'the trim');
    await waitFor(() => world.waitingForLock(), { description: 'the trim to wait' });
    await streams.beforeApplicationShutdown();
    const closed = streams.onApplicationShutdown();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(pool.idleCount).toBeLessThan(pool.totalCount);
    await holder.query('COMMIT');
    await closed;
    expect(pool.idleCount).toBe(pool.totalCount);
    expect(await trimmed).toMatchObject({ status: 'fulfilled' });
  });

  it('is not waited for after the shutdown', async () => {
    const clients = await transactions();
    const result = settled(streams.open('never'), 3_000, 'the open to be refused');
    await streams.beforeApplicationShutdown();
    await streams.onApplicationShutdown();
    try {
      expect(await result).toMatchObject({ reason: { code: 'SHUTTING_DOWN' } });
    } finally {
      for (const client of clients) client.release();
    }
    await waitFor(() => pool.waitingCount === 0 && pool.idleCount === SIZE, {
      description: 'every connection to be idle',
    });
  });
});

describe('a transaction that keeps its first snapshot', () => {
  it('can append to a stream that nobody has opened, as its first statement', async () => {
    const client = await pool.connect();
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    expect(await streams.append('new', 'a', { transaction: client })).toMatchObject({ lastIndex: 0 });
    await client.query('COMMIT');
    client.release();
    expect((await streams.info('new')).tailIndex).toBe(0);
  });
});
