import type { PgStreamService } from '@nest-baton/pg-stream';
import { waitFor } from '@nest-baton/testing';
import { StreamsWorld, take, textsOf } from './support/streams-world.js';

const READERS = 1_000;

let world: StreamsWorld;
let streams: PgStreamService;
beforeAll(async () => {
  world = await StreamsWorld.create();
  streams = await world.service({ pollInterval: '100ms' });
});
afterAll(() => world.stop());

describe('many readers of one stream', () => {
  it('begin with a handful of queries, and cost one query a wake and stream', async () => {
    await streams.append('crowd', '0');
    const before = streams.stats().slicesRead;
    const readers = Array.from({ length: READERS }, () => streams.read('crowd')[Symbol.asyncIterator]());
    await Promise.all(readers.map((reader) => take(reader, 1)));
    expect(streams.stats().slicesRead - before).toBeLessThanOrEqual(9);
    for (let i = 1; i <= 5; i++) {
      const texts = readers.map((reader) => take(reader, 1));
      await waitFor(() => streams.stats().waitingStreams === 1, { description: 'the readers to wait' });
      const { slicesRead } = streams.stats();
      await streams.append('crowd', `${i}`);
      expect(await Promise.all(texts)).toEqual(readers.map(() => [`${i}`]));
      expect(streams.stats().slicesRead - slicesRead).toBeLessThanOrEqual(2);
    }
    await Promise.all(readers.map((reader) => reader.return!()));
  });

  it('each own the bytes they are given', async () => {
    await streams.append('own', 'same');
    await streams.closeStream('own');
    const spoil = async () => {
      const texts: string[] = [];
      for await (const { data } of streams.read('own')) {
        texts.push(Buffer.from(data).toString());
        data.fill(0);
      }
      return texts;
    };
    const all = await Promise.all(Array.from({ length: 100 }, spoil));
    expect(all).toEqual(all.map(() => ['same']));
  });

  it('see what was committed before they began, however many queries are under way', async () => {
    for (let i = 0; i < 50; i++) {
      const others = Array.from({ length: 20 }, () =>
        textsOf(streams.read('fresh', { live: false, ifMissing: 'wait' })),
      );
      await streams.append('fresh', `${i}`);
      expect(await textsOf(streams.read('fresh', { live: false }))).toHaveLength(i + 1);
      await Promise.all(others);
    }
  });
});
