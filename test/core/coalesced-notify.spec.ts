import { CoalescedNotifier, decodeTopics, encodeTopics } from '@nest-baton/core';
import { freshDatabase, waitFor } from '@nest-baton/testing';
import pg from 'pg';
import { connected, Listening } from './listening.js';

describe('notifying other processes through Postgres', () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>;
  let pool: pg.Pool;
  let listening: Listening;
  let errors: unknown[];
  let sends: number;

  const notifier = () =>
    new CoalescedNotifier({
      send: async (payload) => {
        sends++;
        await pool.query(`SELECT pg_notify('Runs', $1)`, [payload]);
      },
      onError: (error) => void errors.push(error),
    });

  beforeAll(async () => {
    database = await freshDatabase();
    pool = new pg.Pool({ connectionString: database.url, max: 4 });
    pool.on('error', () => undefined);
  });
  beforeEach(async () => {
    [errors, sends] = [[], 0];
    listening = new Listening(database.url);
    await listening.listener.start();
  });
  afterEach(() => listening.listener.stop());
  afterAll(async () => {
    await pool.end();
    await database.drop();
  });

  const heard = () => new Set(listening.payloads.flatMap((payload) => decodeTopics(payload)));

  it('names every topic that moved, in far fewer notifications than there were calls', async () => {
    const telling = notifier();
    const topics = Array.from({ length: 300 }, (_, i) => `stream-${i}`);
    for (const [i, topic] of topics.entries()) {
      telling.notify(topic);
      if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await telling.stop();
    await waitFor(() => heard().size === topics.length, { description: 'all topics' });
    expect([...heard()].toSorted()).toEqual(topics.toSorted());
    expect(sends).toBeLessThan(100);
    expect(errors).toEqual([]);
  });

  it('sends the longest list that fits, and * for one that does not', async () => {
    const fits = 'ä'.repeat(3_997);
    for (const topics of [[fits], [`${fits}xx`]])
      await pool.query(`SELECT pg_notify('Runs', $1)`, [encodeTopics(topics)]);
    await waitFor(() => listening.payloads.length === 2, { description: 'both' });
    expect(listening.payloads.map((payload) => decodeTopics(payload))).toEqual([[fits], '*']);
    expect(Buffer.byteLength(listening.payloads[0]!)).toBe(7_998);
  });

  it('goes on after its connection was lost, having told of it', async () => {
    const telling = notifier();
    const session = await connected(database.url);
    const { rows } = await pool.query<{ pid: number }>(`SELECT pg_backend_pid() AS pid`);
    // The pool hands out the client that was used last: this one dies in the middle of the send.
    const dying = pool.query(`SELECT pg_terminate_backend($1)`, [rows[0]!.pid]).catch(() => undefined);
    telling.notify('a');
    await dying;
    telling.notify('b');
    await telling.stop();
    await waitFor(() => heard().has('b'), { description: 'the topic after the loss' });
    await session.end();
  });

  it('takes a forged notification for "look at everything"', async () => {
    await pool.query(`SELECT pg_notify('Runs', '{"drop":"table"}')`);
    await waitFor(() => listening.payloads.length === 1, { description: 'the forged one' });
    expect(decodeTopics(listening.payloads[0]!)).toBe('*');
  });
});
