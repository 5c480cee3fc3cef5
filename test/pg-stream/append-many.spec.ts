import type { PgStreamService } from '@nest-baton/pg-stream';
import { StreamsWorld, textsOf } from './support/streams-world.js';

let world: StreamsWorld;
let streams: PgStreamService;

beforeAll(async () => {
  world = await StreamsWorld.create();
  streams = await world.service({ maxChunkBytes: 100 });
});
afterAll(() => world.stop());

const texts = (stream: string) => textsOf(streams.read(stream, { live: false }));

describe('appendMany', () => {
  it('puts the chunks one behind another, in the order of the list', async () => {
    await streams.append('list', 'before');
    expect(await streams.appendMany('list', ['a', Buffer.from('b'), ''])).toEqual({
      firstIndex: 1,
      lastIndex: 3,
      duplicate: false,
    });
    await Promise.all([streams.appendMany('list', ['c', 'd']), streams.append('list', 'e')]);
    expect(await texts('list')).toEqual(['before', 'a', 'b', '', 'c', 'd', 'e']);
  });

  it('is one call of a producer, stored once, and tells where', async () => {
    const call = () => streams.appendMany('once', ['a', 'b'], { producer: { id: 'p', epoch: 1, seq: 0 } });
    expect(await call()).toEqual({ firstIndex: 0, lastIndex: 1, duplicate: false });
    expect(await call()).toEqual({ firstIndex: 0, lastIndex: 1, duplicate: true });
    await streams.append('once', 'c');
    expect(await call()).toEqual({ firstIndex: 0, lastIndex: 1, duplicate: true });
    expect(await texts('once')).toEqual(['a', 'b', 'c']);
  });

  it('of nothing is no call: it writes nothing and takes no number, but is checked', async () => {
    const writer = await streams.open('nothing', { producer: { id: 'p', epoch: 1 } });
    const nothing = { firstIndex: -1, lastIndex: -1, duplicate: false };
    expect(await writer.appendMany([])).toEqual(nothing);
    expect(await streams.appendMany('nowhere', [])).toEqual(nothing);
    expect(await writer.append('a')).toMatchObject({ lastIndex: 0 });
    await expect(streams.info('nowhere')).rejects.toMatchObject({ code: 'STREAM_NOT_FOUND' });
    await expect(streams.appendMany('', [])).rejects.toMatchObject({ code: 'STREAM_NAME_INVALID' });
  });

  it('writes all or nothing: one chunk that cannot be stored refuses the list', async () => {
    await expect(streams.appendMany('all', ['a', 'x'.repeat(101)])).rejects.toMatchObject({ code: 'CHUNK_TOO_LARGE' });
    await expect(streams.appendMany('all', ['a', 5 as never])).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
    await expect(streams.info('all')).rejects.toMatchObject({ code: 'STREAM_NOT_FOUND' });
  });

  it('takes many chunks, and bytes of every kind', async () => {
    const chunks = Array.from({ length: 3_000 }, (_, i) => Buffer.from([i & 255, 0, 255, i >> 8]));
    expect((await streams.appendMany('bytes', chunks)).lastIndex).toBe(2_999);
    let nth = 0;
    for await (const { data } of streams.read('bytes', { live: false })) {
      if (!Buffer.from(data).equals(chunks[nth++]!)) throw new Error(`chunk ${nth - 1} is another`);
    }
    expect(nth).toBe(3_000);
  });

  it('may use a buffer again at once', async () => {
    const buffer = Buffer.from('first');
    const call = streams.appendMany('reused', [buffer]);
    buffer.write('other');
    await call;
    expect(await texts('reused')).toEqual(['first']);
  });

  it('goes with a transaction of the caller', async () => {
    const client = await world.client();
    await client.query('BEGIN');
    await streams.appendMany('within', ['a', 'b'], { transaction: client, expectedIndex: 0 });
    expect((await streams.info('within')).tailIndex).toBe(-1);
    await client.query('COMMIT');
    expect(await texts('within')).toEqual(['a', 'b']);
  });

  it('of a writer keeps its place among appends that nobody awaits', async () => {
    const writer = await streams.open('writer', { producer: { id: 'p', epoch: 1 } });
    const calls = [
      writer.append('a'),
      writer.appendMany(['b', 'c']),
      writer.append('d'),
      writer.appendMany(['e', 'f']),
    ];
    expect((await Promise.all(calls)).map(({ firstIndex, lastIndex }) => [firstIndex, lastIndex])).toEqual([
      [0, 0],
      [1, 2],
      [3, 3],
      [4, 5],
    ]);
    await writer.close();
    expect(writer.nextIndex).toBe(6);
    expect(await texts('writer')).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
    expect((await streams.open('writer', { producer: { id: 'p', epoch: 1 } })).nextIndex).toBe(6);
  });
});
