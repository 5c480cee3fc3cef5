import type { Chunk, PgStreamService } from '@nest-baton/pg-stream';
import { waitFor } from '@nest-baton/testing';
import { StreamsWorld, textsOf } from '../support/streams-world.js';

let world: StreamsWorld;
let streams: PgStreamService;
beforeAll(async () => {
  world = await StreamsWorld.create();
  streams = await world.service({ hints: 'on', pollInterval: 0 });
});
afterAll(() => world.stop());

async function waiting(count = 1): Promise<void> {
  await waitFor(() => streams.stats().waitingStreams === count, { description: 'the readers to wait' });
}

/** Reads until the stream's end, into an array that can be looked at meanwhile. */
function collect(stream: string, count = 1): { readonly chunks: Chunk[][]; readonly done: Promise<unknown> } {
  const chunks = Array.from({ length: count }, (): Chunk[] => []);
  const done = Promise.all(
    chunks.map(async (mine) => {
      for await (const chunk of streams.read(stream)) mine.push(chunk);
    }),
  );
  return { chunks, done };
}

describe('a reader who waits where the same process appends', () => {
  it('has the chunk without a query, and as a query would show it', async () => {
    const writer = await streams.open('in hand', { producer: { id: 'p', epoch: 1 } });
    await writer.append('first');
    const { chunks, done } = collect('in hand');
    await waitFor(() => chunks[0]?.length === 1, { description: 'the first' });
    await waiting();
    const { slicesRead } = streams.stats();
    for (let i = 0; i < 10; i++) {
      await (i % 2 === 0 ? writer.append(`ü${i}`) : writer.append(Buffer.from([0, 255, i])));
      await waitFor(() => chunks[0]?.length === i + 2, { description: `chunk ${i}` });
      await waiting();
    }
    expect(streams.stats().slicesRead).toBe(slicesRead);
    const { data } = await (await world.service({ hints: 'off' })).page('in hand');
    expect(chunks[0]).toEqual(data);
    await writer.close();
    await done;
  });

  it('shares it with nobody who could write into it', async () => {
    await streams.append('shared', 'first');
    const { chunks, done } = collect('shared', 2);
    await waitFor(() => chunks.every(({ length }) => length === 1), { description: 'both to have the first' });
    await waiting();
    await streams.append('shared', 'second');
    await waitFor(() => chunks.every(({ length }) => length === 2), { description: 'both to have the second' });
    chunks[0]?.[1]?.data.fill(0);
    expect(Buffer.from(chunks[1]?.[1]?.data ?? []).toString()).toBe('second');
    await streams.closeStream('shared');
    await done;
    expect(await textsOf(streams.read('shared'))).toEqual(['first', 'second']);
  });

  it('is given nothing of another stream that has taken the name', async () => {
    const elsewhere = await world.service({ hints: 'off' });
    await streams.appendMany('taken', ['a', 'b']);
    const reading = textsOf(streams.read('taken'));
    await waiting();
    await elsewhere.delete('taken');
    await elsewhere.appendMany('taken', ['A', 'B']);
    await streams.append('taken', 'C');
    await expect(reading).rejects.toMatchObject({ code: 'STREAM_DELETED' });
  });

  it('looks for what others have put before it, and for what is more than he may hold', async () => {
    const elsewhere = await world.service({ hints: 'off' });
    await streams.append('mixed', '0');
    const { chunks, done } = collect('mixed');
    await waitFor(() => chunks[0]?.length === 1, { description: 'the first' });
    await waiting();
    await elsewhere.append('mixed', '1');
    await streams.append('mixed', '2');
    await waitFor(() => chunks[0]?.length === 3, { description: 'both' });
    await waiting();
    const many = Array.from({ length: 65 }, (_, i) => `${i + 3}`);
    await streams.appendMany('mixed', many);
    await waitFor(() => chunks[0]?.length === 68, { description: 'all of the many' });
    await waiting();
    await streams.appendMany('mixed', [Buffer.alloc(600_000, 'x'), Buffer.alloc(600_000, 'y')]);
    await waitFor(() => chunks[0]?.length === 70, { description: 'the big ones' });
    await streams.closeStream('mixed');
    await done;
    expect(chunks[0]?.map(({ index }) => index)).toEqual(Array.from({ length: 70 }, (_, i) => i));
    expect(chunks[0]?.slice(0, 68).map(({ data }) => Buffer.from(data).toString())).toEqual(['0', '1', '2', ...many]);
  });

  it('misses nothing and sees nothing twice while many append at once, here and elsewhere', async () => {
    const elsewhere = await world.service({ hints: 'on' });
    await streams.open('busy');
    const { chunks, done } = collect('busy', 20);
    const writers = Array.from({ length: 8 }, async (_, w) => {
      for (let i = 0; i < 60; i++) {
        await (w % 4 === 3 ? elsewhere : streams).append('busy', `${w}:${i}`);
        if (i % 7 === w % 7) await new Promise((resolve) => setTimeout(resolve, 3));
      }
    });
    await Promise.all(writers);
    await streams.closeStream('busy');
    await done;
    const texts = await textsOf((await world.service({ hints: 'off' })).read('busy'));
    expect(texts).toHaveLength(480);
    for (const mine of chunks) {
      expect(mine.map(({ index }) => index)).toEqual(texts.map((_, i) => i));
      expect(mine.map(({ data }) => Buffer.from(data).toString())).toEqual(texts);
    }
  });
});
