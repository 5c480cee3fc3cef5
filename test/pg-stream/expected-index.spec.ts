import type { PgStreamService } from '@nest-baton/pg-stream';
import { StreamsWorld, textsOf } from './support/streams-world.js';

let world: StreamsWorld;
let streams: PgStreamService;

beforeAll(async () => {
  world = await StreamsWorld.create();
  streams = await world.service();
});
afterAll(() => world.stop());

const texts = (stream: string) => textsOf(streams.read(stream, { live: false }));

describe('an expected index', () => {
  it('lets a chunk go there and nowhere else, and tells where the stream goes on', async () => {
    expect(await streams.append('at', 'a', { expectedIndex: 0 })).toMatchObject({ lastIndex: 0 });
    for (const expectedIndex of [0, 2])
      await expect(streams.append('at', 'x', { expectedIndex })).rejects.toMatchObject({
        code: 'EXPECTED_INDEX_MISMATCH',
        retryable: false,
        nextIndex: 1,
      });
    await streams.appendMany('at', ['b', 'c'], { expectedIndex: 1 });
    expect(await texts('at')).toEqual(['a', 'b', 'c']);
  });

  it('lets one of many who ask for the same place have it, in one process and in two', async () => {
    const other = await world.service();
    for (let place = 0; place < 10; place++) {
      const calls = Array.from({ length: 20 }, (_, i) =>
        (i % 2 === 0 ? streams : other).append('race', `${place}`, { expectedIndex: place }),
      );
      const results = await Promise.allSettled(calls);
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    }
    expect(await texts('race')).toEqual(Array.from({ length: 10 }, (_, i) => `${i}`));
  });

  it('closes a stream only at its expected length', async () => {
    await streams.append('close', 'a');
    await expect(streams.closeStream('close', { expectedIndex: 0 })).rejects.toMatchObject({
      code: 'EXPECTED_INDEX_MISMATCH',
      nextIndex: 1,
    });
    await streams.closeStream('close', { expectedIndex: 1 });
    await streams.closeStream('close', { expectedIndex: 0 });
    await expect(streams.append('close', 'b', { expectedIndex: 1 })).rejects.toMatchObject({ code: 'STREAM_CLOSED' });
  });

  it('comes after the number of a producer: a repeated call is a duplicate', async () => {
    const call = () => streams.append('both', 'a', { expectedIndex: 0, producer: { id: 'p', epoch: 1, seq: 0 } });
    await call();
    expect(await call()).toEqual({ firstIndex: 0, lastIndex: 0, duplicate: true });
  });

  it('must be one', async () => {
    for (const expectedIndex of [-1, 0.5, NaN, Infinity, 2 ** 53, '0' as never])
      await expect(streams.append('none', 'a', { expectedIndex })).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
    await expect(streams.info('none')).rejects.toMatchObject({ code: 'STREAM_NOT_FOUND' });
  });
});
