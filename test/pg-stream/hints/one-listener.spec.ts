import { waitFor } from '@nest-baton/testing';
import { StreamsWorld, take } from '../support/streams-world.js';

const READERS = 2_000;

/** The connections to this database, counted by what they say they are. */
async function connections(of: StreamsWorld): Promise<Record<string, number>> {
  const rows = await of.sql<{ application_name: string; count: number }>(
    `SELECT application_name, count(*)::int FROM pg_stat_activity WHERE datname = current_database() GROUP BY 1`,
  );
  return Object.fromEntries(rows.map(({ application_name, count }) => [application_name, count]));
}

describe('many readers of many streams', () => {
  const STREAMS = 200;
  const MOVED = 20;
  const LISTEN = 'baton:pg-stream:listen';

  it('A21 cost one LISTEN connection, which listens before the first of them queries, and one query a look', async () => {
    const own = await StreamsWorld.create();
    try {
      const { pool, statements } = own.countingPool();
      const reading = await own.service({ hints: 'on', pool, pollInterval: '100ms', sweepInterval: 0 });
      expect(reading.stats()).toMatchObject({ listener: 'listening', slicesRead: 0 });
      expect(await own.count('^LISTEN')).toBe(1);
      expect((await connections(own))[LISTEN]).toBe(1);

      const readers = Array.from({ length: READERS }, (_, i) => reading.read(`${i % STREAMS}`)[Symbol.asyncIterator]());
      const texts = readers.map((reader) => take(reader, 1));
      await waitFor(() => reading.stats().waitingStreams === STREAMS, { description: 'the readers to wait' });
      expect((await connections(own))[LISTEN]).toBe(1);

      const [begun, { pollQueries, slicesRead }] = [statements(), reading.stats()];
      await waitFor(() => reading.stats().pollQueries >= pollQueries + 5, { description: 'some looks' });
      // The next look may have been sent and not counted yet, or the other way round.
      expect(statements() - begun).toBeLessThanOrEqual(reading.stats().pollQueries - pollQueries + 1);
      expect(reading.stats().slicesRead).toBe(slicesRead);

      const mute = await own.service({ notify: 'off', sweepInterval: 0 });
      await Promise.all(Array.from({ length: MOVED }, (_, i) => mute.append(`${i}`, `to ${i}`)));
      const moved = (i: number) => i % STREAMS < MOVED;
      expect(await Promise.all(texts.filter((_, i) => moved(i)))).toEqual(
        readers.map((_, i) => [`to ${i % STREAMS}`]).filter((_, i) => moved(i)),
      );
      expect(reading.stats().slicesRead - slicesRead).toBeLessThanOrEqual(MOVED);
      expect(await own.count('^LISTEN')).toBe(2);

      await Promise.all(readers.map((reader) => reader.return!()));
      expect((await Promise.all(texts)).flat()).toHaveLength((MOVED * READERS) / STREAMS);
      await reading.beforeApplicationShutdown();
      expect((await connections(own))[LISTEN]).toBe(1);
      await pool.end();
    } finally {
      await own.stop();
    }
  });
});
