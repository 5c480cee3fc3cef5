import type { Chunk, PgStreamService } from '@nest-baton/pg-stream';
import { startProcess, waitFor } from '@nest-baton/testing';
import { fileURLToPath } from 'node:url';
import { StreamsWorld, take, textsOf } from './support/streams-world.js';

let world: StreamsWorld;
let streams: PgStreamService;

beforeAll(async () => {
  world = await StreamsWorld.create();
  streams = await world.service();
});
afterAll(() => world.stop());
afterEach(() => expect(streams.stats()).toMatchObject({ readers: 0, watchedStreams: 0, waitingStreams: 0 }));

const names = Array.from({ length: 200 }, (_, i) => `${i}`);

async function fill(stream: string, count: number): Promise<void> {
  const writer = await streams.open(stream);
  await Promise.all(Array.from({ length: count }, (_, i) => writer.append(`${i}`)));
}

describe('paged reads', () => {
  beforeAll(async () => {
    await fill('200', 200);
    await streams.closeStream('200');
  });

  it('full read across 4 pages byte-exact, with at most 64 rows a query', async () => {
    const { slicesRead } = streams.stats();
    expect(await textsOf(streams.read('200'))).toEqual(names);
    expect(streams.stats().slicesRead - slicesRead).toBe(4);
  });

  it.each([64, 100, 199, 200, 201, 10_000])(
    'start at %d: page edge, mid-page, last chunk, past the tail',
    async (start) => {
      const reader = streams.read('200', { startIndex: start });
      expect(await textsOf(reader)).toEqual(names.slice(start));
      expect(await reader.ended).toEqual({ status: 'done' });
    },
  );

  it.each([-1, -64, 0.5, NaN, Infinity])('refuses to start at %p', (startIndex) => {
    expect(() => streams.read('200', { startIndex })).toThrow(expect.objectContaining({ code: 'CURSOR_INVALID' }));
  });

  it('next page only when the consumer has read the previous; the first chunk comes before the last page', async () => {
    const { slicesRead } = streams.stats();
    const chunks = streams.read('200')[Symbol.asyncIterator]();
    await take(chunks, 64);
    expect(streams.stats().slicesRead - slicesRead).toBe(1);
    await take(chunks, 1);
    expect(streams.stats().slicesRead - slicesRead).toBe(2);
    await chunks.return!();
  });

  it('bounds a page by a megabyte, and reads a chunk that is larger all the same', async () => {
    const large = Buffer.alloc(1024 * 1024, 1);
    for (const data of [large, 'a', Buffer.alloc(600_000), Buffer.alloc(600_000), 'b'])
      await streams.append('large', data);
    await streams.closeStream('large');
    const { slicesRead } = streams.stats();
    const lengths: number[] = [];
    for await (const { data } of streams.read('large')) lengths.push(data.length);
    expect(lengths).toEqual([1024 * 1024, 1, 600_000, 600_000, 1]);
    expect(streams.stats().slicesRead - slicesRead).toBe(3);
  });

  it('EOF-only stream is empty', async () => {
    await streams.closeStream('empty');
    const reader = streams.read('empty');
    expect(await textsOf(reader)).toEqual([]);
    expect(await reader.ended).toEqual({ status: 'done' });
  });

  it('goes on from any cursor, and refuses those of other streams and forged ones', async () => {
    const seen: Chunk[] = [];
    for await (const chunk of streams.read('200')) seen.push(chunk);
    for (const at of [0, 63, 64, 199])
      expect(await textsOf(streams.read('200', { cursor: seen[at]!.cursor }))).toEqual(names.slice(at + 1));
    await fill('other', 1);
    await expect(textsOf(streams.read('other', { cursor: seen[0]!.cursor }))).rejects.toMatchObject({
      code: 'CURSOR_INVALID',
    });
    await expect(streams.page('nowhere', { cursor: seen[0]!.cursor })).rejects.toMatchObject({
      code: 'CURSOR_INVALID',
    });
    const future = Buffer.from('1:1:100000').toString('base64url');
    await expect(textsOf(streams.read('200', { cursor: future }))).rejects.toMatchObject({ code: 'CURSOR_INVALID' });
    for (const cursor of ['', '-1', 'now', 'x'.repeat(10_000), `${seen[0]!.cursor}=`, "'; DROP TABLE streams"])
      expect(() => streams.read('200', { cursor })).toThrow(expect.objectContaining({ code: 'CURSOR_INVALID' }));
    expect(() => streams.read('200', { cursor: future, startIndex: 0 })).toThrow();
  });

  it('page has 100 chunks unless it is told a limit', async () => {
    const page = await streams.page('200');
    expect([page.data.map(({ index }) => `${index}`), page.hasMore, page.done]).toEqual([
      names.slice(0, 100),
      true,
      false,
    ]);
  });

  it('a failed query surfaces as what the server said, leaves nothing behind, and the next read works', async () => {
    const chunks = streams.read('200')[Symbol.asyncIterator]();
    await take(chunks, 64);
    await world.sql('ALTER TABLE baton.stream_chunks RENAME TO stream_chunks_away');
    try {
      await expect(chunks.next()).rejects.toMatchObject({ code: '42P01' });
      expect(streams.stats()).toMatchObject({ readers: 0, watchedStreams: 0, waitingStreams: 0 });
      await expect(textsOf(streams.read('200'))).rejects.toMatchObject({ code: '42P01' });
      await expect(streams.page('200')).rejects.toMatchObject({ code: '42P01' });
      expect(await chunks.next()).toEqual({ done: true, value: undefined });
    } finally {
      await world.sql('ALTER TABLE baton.stream_chunks_away RENAME TO stream_chunks');
    }
    expect(await textsOf(streams.read('200', { startIndex: 64 }))).toEqual(names.slice(64));
  });

  it('fails closed on a hole, instead of passing over it', async () => {
    await fill('holed', 5);
    await world.sql(
      `DELETE FROM baton.stream_chunks c USING baton.streams s WHERE s.id = c.stream_id AND s.name = 'holed' AND c.index = 2`,
    );
    await expect(textsOf(streams.read('holed'))).rejects.toMatchObject({ code: 'STREAM_DAMAGED' });
    await expect(streams.page('holed', { startIndex: 2 })).rejects.toMatchObject({ code: 'STREAM_DAMAGED' });
  });

  it('fails the reader that waits for more of a stream whose row was removed, also where only the poll finds it', async () => {
    const polling = await world.service({ hints: 'off', pollInterval: '100ms' });
    await polling.append('removed', 'a');
    const chunks = polling.read('removed')[Symbol.asyncIterator]();
    await chunks.next();
    let failure: unknown;
    const waiting = chunks.next().catch((error: unknown) => (failure = error));
    await waitFor(() => polling.stats().waitingStreams === 1, { description: 'the reader to wait' });
    await world.sql(`DELETE FROM baton.streams WHERE name = 'removed'`);
    await waitFor(() => failure, { timeoutMs: 2_000, description: 'the reader to fail' });
    await waiting;
    expect(failure).toMatchObject({ code: 'STREAM_DELETED' });
  });

  it('repeated reads leave 0 listeners and no warning (12 reads)', async () => {
    // A process of its own: what Node warns of is not heard inside of Jest.
    const entry = fileURLToPath(new URL('support/repeated-reads-process.ts', import.meta.url));
    const child = await startProcess({ entry, args: [world.url, '200'] });
    expect(await child.exited).toMatchObject({ code: 0 });
    expect(child.lines).toEqual(expect.arrayContaining(['CHUNKS 4800', 'LISTENERS 0', 'WARNINGS []']));
  });
});

describe('after the end', () => {
  it('E1 E2 E3 page and info tell of what was stored before the end, and not of more', async () => {
    await fill('done', 5);
    await streams.closeStream('done');
    await streams.append('done', 'late').catch(() => undefined);
    await streams.closeStream('done');
    expect(await streams.info('done')).toMatchObject({
      tailIndex: 4,
      done: true,
      status: 'done',
      closedAt: expect.any(Date),
    });
    const first = await streams.page('done', { limit: 3 });
    expect([first.data.length, first.hasMore, first.done]).toEqual([3, true, false]);
    const second = await streams.page('done', { cursor: first.cursor, limit: 3 });
    expect([second.data.map(({ index }) => index), second.hasMore, second.done]).toEqual([[3, 4], false, true]);
    const third = await streams.page('done', { cursor: second.cursor });
    expect([third.data, third.done]).toEqual([[], true]);
  });

  it.each([5, 6, 50])(
    'U1 U2 start index at or past data count closes at first EOF instead of consuming it (%d)',
    async (startIndex) => {
      expect(await textsOf(streams.read('done', { startIndex }))).toEqual([]);
    },
  );

  it.each([0, -1, 1_001, 1.5])('page refuses a limit of %p', async (limit) => {
    await expect(streams.page('done', { limit })).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
  });
});

describe('live reads', () => {
  it('history-to-live hand-off without gaps or duplicates while four writers append', async () => {
    await fill('live', 100);
    const read = textsOf(streams.read('live'));
    await Promise.all(
      Array.from({ length: 4 }, async (_, w) => {
        for (let i = 0; i < 50; i++) await streams.append('live', `${w}:${i}`);
      }),
    );
    await streams.closeStream('live');
    const texts = await read;
    expect(texts).toHaveLength(300);
    expect(texts).toEqual(await textsOf(streams.read('live')));
    for (let w = 0; w < 4; w++)
      expect(texts.filter((text) => text.startsWith(`${w}:`))).toEqual(
        Array.from({ length: 50 }, (_, i) => `${w}:${i}`),
      );
  });

  it('offset beyond tail applies to later live rows (10 rows, start 15)', async () => {
    await fill('offset', 10);
    const read = textsOf(streams.read('offset', { startIndex: 15 }));
    for (let i = 10; i < 17; i++) await streams.append('offset', `${i}`);
    await streams.closeStream('offset');
    expect(await read).toEqual(['15', '16']);
  });

  it('waits for a stream that nobody has opened, and fails at once where it is told to', async () => {
    const read = textsOf(streams.read('awaited'));
    await waitFor(() => streams.stats().waitingStreams === 1, { description: 'the reader to wait' });
    await streams.open('awaited');
    await streams.append('awaited', 'a');
    await streams.closeStream('awaited');
    expect(await read).toEqual(['a']);
    for (const options of [{ ifMissing: 'fail' }, { live: false }] as const)
      await expect(textsOf(streams.read('missing', options))).rejects.toMatchObject({ code: 'STREAM_NOT_FOUND' });
    await expect(streams.page('missing')).rejects.toMatchObject({ code: 'STREAM_NOT_FOUND' });
    expect(await textsOf(streams.read('missing', { live: false, ifMissing: 'wait' }))).toEqual([]);
  });

  it('ends at the present tail without live', async () => {
    await fill('tail', 70);
    const reader = streams.read('tail', { live: false });
    const texts: string[] = [];
    for await (const { data } of reader) {
      texts.push(Buffer.from(data).toString());
      if (texts.length === 1) await streams.append('tail', 'later');
    }
    expect(texts).toEqual(names.slice(0, 70));
    expect(await reader.ended).toBeUndefined();
  });

  it('frees everything when the consumer breaks, returns while it waits, or aborts', async () => {
    await fill('left', 3);
    for await (const chunk of streams.read('left')) if (chunk.index === 1) break;
    expect(streams.stats().readers).toBe(0);

    const waiting = streams.read('left', { startIndex: 3 });
    const chunks = waiting[Symbol.asyncIterator]();
    const next = chunks.next();
    await waitFor(() => streams.stats().waitingStreams === 1, { description: 'the reader to wait' });
    await chunks.return!();
    expect(await next).toEqual({ done: true, value: undefined });
    expect(await waiting.ended).toBeUndefined();

    const abort = new AbortController();
    const aborted = textsOf(streams.read('left', { signal: abort.signal }));
    await waitFor(() => streams.stats().waitingStreams === 1, { description: 'the reader to wait' });
    abort.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
    await expect(textsOf(streams.read('left', { signal: abort.signal }))).rejects.toThrow('enough');
  });

  it('cancel mid-query is clean, and a late write causes no unhandled rejection', async () => {
    const client = await world.client();
    await fill('locked', 1);
    await client.query('BEGIN');
    await client.query('LOCK TABLE baton.stream_chunks IN ACCESS EXCLUSIVE MODE');
    const abort = new AbortController();
    const read = textsOf(streams.read('locked', { signal: abort.signal }));
    await waitFor(async () => (await world.count('stream_chunks q')) > 0, {
      description: 'the query to wait for the lock',
    });
    abort.abort(new Error('cut'));
    await expect(read).rejects.toThrow('cut');
    await client.query('ROLLBACK');
    await streams.append('locked', 'late');
  });

  it('holds nothing after 2 000 distinct streams were read to their end', async () => {
    for (let i = 0; i < 20; i++)
      await Promise.all(
        Array.from({ length: 100 }, async (_, j) => {
          await streams.closeStream(`many ${i} ${j}`);
          await textsOf(streams.read(`many ${i} ${j}`));
        }),
      );
    expect(streams.stats()).toMatchObject({ readers: 0, watchedStreams: 0 });
  });
});
