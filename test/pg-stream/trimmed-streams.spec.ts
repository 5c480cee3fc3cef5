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

const names = Array.from({ length: 200 }, (_, i) => `${i}`);

/** Chunks that the tables hold, with their sizes. */
async function stored(stream: string): Promise<readonly { index: string; bytes: number }[]> {
  return world.sql(
    `SELECT c.index, octet_length(c.data) AS bytes FROM baton.stream_chunks c JOIN baton.streams s ON s.id = c.stream_id
     WHERE s.name = $1 ORDER BY c.index`,
    [stream],
  );
}

async function swept(stream: string): Promise<void> {
  await waitFor(
    async () =>
      (await world.sql('SELECT FROM baton.streams WHERE name = $1 AND swept_index = first_index', [stream])).length ===
      1,
    { description: `the stream '${stream}' to be swept` },
  );
}

describe('a trimmed stream', () => {
  it('begins at the earliest chunk that is kept, at its old position, for readers and pages without a start', async () => {
    await streams.appendMany('begins', names);
    await streams.trim('begins', { before: 150 });
    await streams.closeStream('begins');
    const indexes: number[] = [];
    for await (const { index } of streams.read('begins')) indexes.push(index);
    expect(indexes).toEqual(names.slice(150).map(Number));
    const page = await streams.page('begins', { limit: 2 });
    expect([page.data.map(({ index }) => index), page.hasMore]).toEqual([[150, 151], true]);
    expect(await streams.info('begins')).toMatchObject({ tailIndex: 199 });
  });

  it('refuses starts and cursors that lie before it, and says where it begins', async () => {
    await streams.appendMany('refuses', names);
    const early = await streams.page('refuses', { limit: 10 });
    await streams.trim('refuses', { before: 20 });
    const trimmed = { code: 'CURSOR_TRIMMED', firstIndex: 20 };
    for (const start of [{ startIndex: 0 }, { startIndex: 19 }, { cursor: early.cursor }]) {
      await expect(streams.page('refuses', start)).rejects.toMatchObject(trimmed);
      await expect(textsOf(streams.read('refuses', { ...start, live: false }))).rejects.toMatchObject(trimmed);
      await expect(
        streams.events('refuses', start).then(() => textsOf(streams.read('refuses', start))),
      ).rejects.toMatchObject(trimmed);
    }
    expect(await textsOf(streams.read('refuses', { startIndex: 20, live: false }))).toEqual(names.slice(20));
  });

  it('fails a reader that it overtakes instead of letting it skip', async () => {
    await streams.appendMany('overtaken', names);
    const chunks = streams.read('overtaken')[Symbol.asyncIterator]();
    expect(await take(chunks, 64)).toEqual(names.slice(0, 64));
    await streams.trim('overtaken', { before: 65 });
    await expect(chunks.next()).rejects.toMatchObject({ code: 'CURSOR_TRIMMED', firstIndex: 65 });
  });

  it('does not disturb a reader that waits at the tail, and can be trimmed to nothing', async () => {
    await streams.appendMany('empty', names.slice(0, 3));
    const read = textsOf(streams.read('empty', { startIndex: 3 }));
    await waitFor(() => streams.stats().waitingStreams === 1, { description: 'the reader to wait' });
    await streams.trim('empty', { before: Number.MAX_SAFE_INTEGER });
    expect(await streams.page('empty')).toMatchObject({ data: [], hasMore: false, done: false });
    const late = textsOf(streams.read('empty'));
    await waitFor(() => streams.stats().readers === 2, { description: 'the second reader' });
    expect(await streams.append('empty', 'x', { expectedIndex: 3 })).toMatchObject({ firstIndex: 3 });
    await streams.closeStream('empty');
    expect([await read, await late]).toEqual([['x'], ['x']]);
  });

  it('gives its room back but for the tail, which it empties, and knows its producers as before', async () => {
    const writer = await streams.open('room', { producer: { id: 'p', epoch: 1 } });
    for (const name of names.slice(0, 5)) await writer.append(name);
    await streams.trim('room', { before: 5 });
    await swept('room');
    expect(await stored('room')).toEqual([{ index: '4', bytes: 0 }]);
    expect(await streams.append('room', '4', { producer: { id: 'p', epoch: 1, seq: 4 } })).toMatchObject({
      duplicate: true,
      lastIndex: 4,
    });
    await writer.append('five');
    await writer.append('six');
    await streams.trim('room', { before: 6 });
    await swept('room');
    expect(await stored('room')).toEqual([{ index: '6', bytes: 3 }]);
    expect(await textsOf(streams.read('room', { live: false }))).toEqual(['six']);
  });

  it('is not taken back by a trim further ahead, and refuses what is no position', async () => {
    await streams.appendMany('twice', names);
    await streams.trim('twice', { before: 100 });
    await streams.trim('twice', { before: 50 });
    expect((await streams.page('twice')).data[0]).toMatchObject({ index: 100 });
    for (const before of [-1, 0.5, NaN])
      await expect(streams.trim('twice', { before })).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
    await expect(streams.trim('nowhere', { before: 1 })).rejects.toMatchObject({ code: 'STREAM_NOT_FOUND' });
  });

  it('waits for a transaction that holds it no longer than lockTimeout', async () => {
    const hasty = await world.service({ lockTimeout: '50ms' });
    await hasty.appendMany('held', names);
    const client = await world.client();
    await client.query('BEGIN');
    await client.query(`SELECT FROM baton.streams WHERE name = 'held' FOR UPDATE`);
    await expect(hasty.trim('held', { before: 1 })).rejects.toMatchObject({ code: 'STREAM_BUSY', retryable: true });
    await expect(hasty.delete('held')).rejects.toMatchObject({ code: 'STREAM_BUSY' });
    await client.query('ROLLBACK');
    await hasty.trim('held', { before: 1 });
  });

  it('is swept by another process when the one that trimmed it removes nothing', async () => {
    const marking = await world.service({ sweepInterval: 0 });
    await world.service({ sweepInterval: '100ms' });
    await marking.appendMany('left', names);
    await marking.trim('left', { before: 199 });
    await swept('left');
    expect((await stored('left')).map(({ index }) => index)).toEqual(['199']);
  });

  it('loses nothing that is kept while writers append, it is trimmed and four processes sweep', async () => {
    const sweepers = await Promise.all(Array.from({ length: 4 }, () => world.service({ sweepInterval: '100ms' })));
    const seen: number[] = [];
    const read = (async () => {
      for await (const { index } of streams.read('busy')) {
        seen.push(index);
        if (index % 50 === 49) await sweepers[index % 4]!.trim('busy', { before: index });
      }
    })();
    await Promise.all(
      sweepers.map(async (sweeper) => {
        for (let i = 0; i < 100; i++) await sweeper.append('busy', `${i}`);
      }),
    );
    await streams.closeStream('busy');
    await read;
    expect(seen).toEqual([...seen.keys()]);
    expect(seen).toHaveLength(400);
    await swept('busy');
    expect((await stored('busy')).map(({ index }) => index)).toEqual(['399']);
  });
});
