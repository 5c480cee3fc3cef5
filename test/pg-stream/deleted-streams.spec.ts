import type { PgStreamService } from '@nest-baton/pg-stream';
import { waitFor } from '@nest-baton/testing';
import { StreamsWorld, take, textsOf } from './support/streams-world.js';

let world: StreamsWorld;
let streams: PgStreamService;
beforeAll(async () => {
  world = await StreamsWorld.create();
  streams = await world.service();
});
afterAll(() => world.stop());

async function rows(table: 'streams' | 'stream_chunks' | 'stream_producers', id: string): Promise<number> {
  const column = table === 'streams' ? 'id' : 'stream_id';
  return (await world.sql(`SELECT FROM baton.${table} WHERE ${column} = $1`, [id])).length;
}

async function idOf(stream: string): Promise<string> {
  const [row] = await world.sql<{ id: string }>('SELECT id FROM baton.streams WHERE name = $1', [stream]);
  return row!.id;
}

describe('a deleted stream', () => {
  it('is not there any more, and its name is that of another one, which begins at 0', async () => {
    await streams.open('name', { group: 'g', producer: { id: 'p', epoch: 7 } });
    await streams.appendMany('name', ['a', 'b', 'c']);
    await streams.closeStream('name');
    const { cursor } = await streams.page('name', { limit: 2 });
    await streams.delete('name');
    await expect(streams.info('name')).rejects.toMatchObject({ code: 'STREAM_NOT_FOUND' });
    await expect(streams.page('name')).rejects.toMatchObject({ code: 'STREAM_NOT_FOUND' });
    expect(await streams.list('g')).toEqual([]);
    const writer = await streams.open('name', { producer: { id: 'p', epoch: 1 } });
    expect(writer.nextIndex).toBe(0);
    expect(await writer.append('x')).toMatchObject({ firstIndex: 0, duplicate: false });
    expect(await textsOf(streams.read('name', { live: false }))).toEqual(['x']);
    await expect(streams.page('name', { cursor })).rejects.toMatchObject({ code: 'CURSOR_INVALID' });
  });

  it.each(['on', 'off'] as const)('fails its readers, in other processes too, with hints %s', async (hints) => {
    const reading = await world.service({ hints, pollInterval: '100ms' });
    const names = [`read ${hints}`, `awaited ${hints}`] as const;
    for (const name of names) await streams.appendMany(name, ['a', 'b']);
    const atTail = textsOf(reading.read(names[0]));
    const beyond = textsOf(reading.read(names[1], { startIndex: 10 }));
    const failures = Promise.allSettled([atTail, beyond]);
    await waitFor(() => reading.stats().waitingStreams === 2, { description: 'the readers to wait' });
    for (const name of names) await streams.delete(name);
    for (const failure of await failures)
      expect(failure).toMatchObject({ status: 'rejected', reason: { code: 'STREAM_DELETED' } });
  });

  it('fails a reader between two pages, also when its name was taken again by a longer stream', async () => {
    await streams.appendMany(
      'again',
      Array.from({ length: 100 }, (_, i) => `${i}`),
    );
    const chunks = streams.read('again')[Symbol.asyncIterator]();
    await take(chunks, 64);
    await streams.delete('again');
    await streams.appendMany(
      'again',
      Array.from({ length: 200 }, () => 'other'),
    );
    await expect(chunks.next()).rejects.toMatchObject({ code: 'STREAM_DELETED' });
  });

  it('fails a reader who waits for more, also when its name was taken again by a shorter stream, and no hint came', async () => {
    const reading = await world.service({ hints: 'off', pollInterval: '100ms' });
    await streams.appendMany('shorter', ['a', 'b', 'c']);
    const waiting = textsOf(reading.read('shorter'));
    const later = textsOf(reading.read('not yet', { startIndex: 5 }));
    await waitFor(() => reading.stats().waitingStreams === 2, { description: 'the readers to wait' });
    await streams.delete('shorter');
    await streams.append('shorter', 'x');
    await expect(waiting).rejects.toMatchObject({ code: 'STREAM_DELETED' });
    const { slicesRead, pollQueries } = reading.stats();
    await waitFor(() => reading.stats().pollQueries > pollQueries + 2, { description: 'more looks' });
    // Whoever waits for a stream that nobody has opened is not woken by each look.
    expect(reading.stats().slicesRead).toBe(slicesRead);
    await streams.appendMany('not yet', ['0', '1', '2', '3', '4', '5']);
    await streams.closeStream('not yet');
    expect(await later).toEqual(['5']);
  });

  it('leaves nothing behind in the tables', async () => {
    await streams.open('traces', { producer: { id: 'p', epoch: 1 } });
    await streams.appendMany(
      'traces',
      Array.from({ length: 1_200 }, () => 'x'),
    );
    const id = await idOf('traces');
    await streams.delete('traces');
    await waitFor(async () => (await rows('streams', id)) === 0, { description: 'its row to go' });
    expect([await rows('stream_chunks', id), await rows('stream_producers', id)]).toEqual([0, 0]);
  });

  it('can be deleted again, and deleting what never was changes nothing', async () => {
    await streams.delete('never');
    await streams.append('repeated', 'a');
    await Promise.all([streams.delete('repeated'), streams.delete('repeated')]);
    await expect(streams.info('repeated')).rejects.toMatchObject({ code: 'STREAM_NOT_FOUND' });
  });

  it('lets an append that waited for the deletion begin another stream', async () => {
    await streams.appendMany('raced', ['a', 'b']);
    const client = await world.client();
    await client.query('BEGIN');
    await client.query(`UPDATE baton.streams SET name = NULL, deleted_at = now() WHERE name = 'raced'`);
    const appended = streams.append('raced', 'first');
    await waitFor(
      async () => (await world.sql(`SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'`)).length > 0,
      {
        description: 'the append to wait',
      },
    );
    await client.query('COMMIT');
    expect(await appended).toMatchObject({ firstIndex: 0 });
  });
});

describe('a group', () => {
  it('lists the names of its streams in the order of their bytes', async () => {
    for (const name of ['b', 'Z', 'a', 'ä']) await streams.open(name, { group: 'letters' });
    await streams.open('c', { group: 'others' });
    await streams.open('a', { group: 'others' });
    expect(await streams.list('letters')).toEqual(['Z', 'a', 'b', 'ä']);
    expect(await streams.list('nothing')).toEqual([]);
    await expect(streams.list('')).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
  });
});
