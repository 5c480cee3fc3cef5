import type { PgStreamService } from '@nest-baton/pg-stream';
import { StreamsWorld } from './support/streams-world.js';

let world: StreamsWorld;
let streams: PgStreamService;

beforeAll(async () => {
  world = await StreamsWorld.create();
  streams = await world.service();
});
afterAll(() => world.stop());

/** Milliseconds that are left of a stream's lease, by the database's clock. */
async function leaseOf(stream: string): Promise<number | null> {
  const [row] = await world.sql<{ left: number | null }>(
    `SELECT (extract(epoch FROM lease_until - clock_timestamp()) * 1000)::float AS left
     FROM baton.stream_heads WHERE name = $1`,
    [stream],
  );
  return row!.left;
}

/** As if so much time had passed. */
async function age(stream: string, ms: number): Promise<void> {
  await world.sql(`UPDATE baton.streams SET renewed_at = renewed_at - $2 * interval '1 ms' WHERE name = $1`, [
    stream,
    ms,
  ]);
  await world.sql(
    `UPDATE baton.stream_chunks SET created_at = created_at - $2 * interval '1 ms'
     WHERE stream_id = (SELECT id FROM baton.streams WHERE name = $1)`,
    [stream, ms],
  );
}

describe("a writer's lease", () => {
  it('begins with the open, and anew with each append and renew()', async () => {
    const writer = await streams.open('leased', { writerLease: '1m', producer: { id: 'p', epoch: 1 } });
    expect(await leaseOf('leased')).toBeGreaterThan(50_000);
    for (const act of [() => writer.append('a'), () => writer.renew()]) {
      await age('leased', 40_000);
      expect(await leaseOf('leased')).toBeLessThan(21_000);
      await act();
      expect(await leaseOf('leased')).toBeGreaterThan(50_000);
    }
    await streams.open('leased');
    expect(await leaseOf('leased')).toBeGreaterThan(50_000);
    await streams.open('leased', { writerLease: '2m' });
    expect(await leaseOf('leased')).toBeGreaterThan(100_000);
  });

  it('is none unless it is asked for', async () => {
    await (await streams.open('free')).append('a');
    expect(await leaseOf('free')).toBeNull();
  });

  it('is not renewed by an owner of the past, nor on a stream that is closed or gone', async () => {
    const old = await streams.open('owned', { writerLease: '1m', producer: { id: 'p', epoch: 1 } });
    const current = await streams.open('owned', { producer: { id: 'p', epoch: 2 } });
    await expect(old.renew()).rejects.toMatchObject({ code: 'PRODUCER_FENCED', currentEpoch: 2 });
    await current.renew();
    await streams.closeStream('owned', { status: 'aborted' });
    await expect(current.renew()).rejects.toMatchObject({ code: 'STREAM_CLOSED', end: { status: 'aborted' } });
    await world.sql(`UPDATE baton.streams SET name = NULL, deleted_at = clock_timestamp() WHERE name = 'owned'`);
    await expect(current.renew()).rejects.toMatchObject({ code: 'STREAM_NOT_FOUND' });
  });

  it('must be a duration from 1 s on', async () => {
    for (const writerLease of [0, 999, 'soon' as never, '30d' as never])
      await expect(streams.open('bad', { writerLease })).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
    await expect(streams.info('bad')).rejects.toMatchObject({ code: 'STREAM_NOT_FOUND' });
  });
});

describe('opening with ifExists', () => {
  it("'fail' creates the stream, or refuses; of many at once, one succeeds", async () => {
    const opens = Array.from({ length: 10 }, () => streams.open('new', { ifExists: 'fail' }));
    const results = await Promise.allSettled(opens);
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const result of results.filter(({ status }) => status === 'rejected'))
      expect(result).toMatchObject({ reason: { code: 'STREAM_EXISTS' } });
    expect((await streams.open('new', { ifExists: 'resume' })).nextIndex).toBe(0);
  });

  it('must be one of the two', async () => {
    await expect(streams.open('x', { ifExists: 'replace' as never })).rejects.toMatchObject({
      code: 'OPTIONS_INVALID',
    });
  });
});
