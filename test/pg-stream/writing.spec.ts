import type { PgStreamService } from '@nest-baton/pg-stream';
import { StreamsWorld, textsOf } from './support/streams-world.js';

let world: StreamsWorld;
let streams: PgStreamService;

beforeAll(async () => {
  world = await StreamsWorld.create();
  streams = await world.service();
});
afterAll(() => world.stop());

describe('appending', () => {
  it.each([
    ['nothing', Buffer.alloc(0)],
    ['NUL', Buffer.from([0, 1, 0])],
    ['invalid UTF-8', Buffer.from([0xff, 0xc3, 0x28])],
    ['a megabyte', Buffer.alloc(1024 * 1024, 7)],
  ])('keeps %s byte for byte', async (name, data) => {
    expect(await streams.append(`bytes ${name}`, data)).toEqual({ firstIndex: 0, lastIndex: 0, duplicate: false });
    const { data: chunks } = await streams.page(`bytes ${name}`);
    expect(Buffer.from(chunks[0]!.data).equals(data)).toBe(true);
  });

  it('numbers chunks densely from 0, and says where they are', async () => {
    for (let i = 0; i < 5; i++) expect((await streams.append('dense', `${i}`)).lastIndex).toBe(i);
    expect(await streams.info('dense')).toMatchObject({ tailIndex: 4, done: false, status: 'open' });
  });

  it('numbers densely under 40 concurrent appends over 10 connections', async () => {
    const appended = await Promise.all(Array.from({ length: 40 }, (_, i) => streams.append('crowd', `${i}`)));
    expect(appended.map(({ lastIndex }) => lastIndex).sort((a, b) => a - b)).toEqual([...Array(40).keys()]);
  });

  it('refuses a chunk that is too large, and a name that cannot be stored, before it asks the database', async () => {
    await expect(streams.append('x', Buffer.alloc(1024 * 1024 + 1))).rejects.toMatchObject({ code: 'CHUNK_TOO_LARGE' });
    for (const name of ['', 'a\0b', 'é'.repeat(257), '\ud800'])
      await expect(streams.append(name, 'x')).rejects.toMatchObject({ code: 'STREAM_NAME_INVALID' });
    await expect(streams.info('x')).rejects.toMatchObject({ code: 'STREAM_NOT_FOUND' });
    expect((await streams.append('é'.repeat(256), 'x')).lastIndex).toBe(0);
  });

  it('refuses a producer that is none', async () => {
    const producer = { id: '', epoch: -1, seq: 0.5 };
    await expect(streams.append('x', 'x', { producer })).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
  });
});

describe('closing', () => {
  it('is repeated without effect, and tells another status the actual one', async () => {
    await streams.append('twice', 'a');
    await streams.closeStream('twice', { status: 'error', message: 'broke\0n'.padEnd(3_000, '!') });
    await streams.closeStream('twice', { status: 'error', message: 'again' });
    const end = { status: 'error', message: 'broken'.padEnd(1_999 + 0, '!').slice(0, 2_000) };
    const refused = await streams.closeStream('twice').catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: 'STREAM_CLOSED', end: { status: 'error' } });
    expect((refused as { end: { message: string } }).end.message.startsWith(end.message.slice(0, 100))).toBe(true);
    expect((refused as { end: { message: string } }).end.message).toHaveLength(2_000);
    await expect(streams.append('twice', 'b')).rejects.toMatchObject({ code: 'STREAM_CLOSED' });
  });

  it('creates a missing stream closed, so that a reader who waits for it ends', async () => {
    const reader = streams.read('never written');
    const read = textsOf(reader);
    await streams.closeStream('never written', { status: 'aborted' });
    expect(await read).toEqual([]);
    expect(await reader.ended).toEqual({ status: 'aborted' });
  });

  it('never lets a chunk lie behind the end, in 1 000 races of an append with a close, in one process and between two', async () => {
    const other = await world.service();
    const race = async (nth: number) => {
      const stream = `race ${nth}`;
      await streams.append(stream, 'first');
      const closing = nth % 2 === 0 ? streams : other;
      const append = () => streams.append(stream, 'second');
      const close = () => closing.closeStream(stream);
      const calls = nth % 4 < 2 ? [append(), close()] : [close(), append()].toReversed();
      const [appended] = await Promise.allSettled(calls);
      if (appended!.status === 'rejected') expect(appended!.reason).toMatchObject({ code: 'STREAM_CLOSED' });
      return appended!.status === 'fulfilled' ? 2 : 1;
    };
    const chunks: number[] = [];
    // One at a time, which a statement has to itself; then many, which share statements.
    while (chunks.length < 200) chunks.push(await race(chunks.length));
    while (chunks.length < 1_000)
      chunks.push(...(await Promise.all(Array.from({ length: 40 }, (_, i) => race(chunks.length + i)))));
    const stored = await world.sql<{ chunks: number; status: string; isLast: boolean }>(
      `SELECT s.next_index::int AS chunks, s.status, s.written_at < s.closed_at AS "isLast" FROM baton.stream_heads s WHERE s.name ~ '^race ' ORDER BY substr(s.name, 6)::int`,
    );
    expect(stored.map((one) => one.chunks)).toEqual(chunks);
    expect(new Set(stored.map(({ status }) => status))).toEqual(new Set(['done']));
    // Both times are taken while the stream's row is locked.
    expect(stored.filter(({ isLast }) => !isLast)).toEqual([]);
    // Both had their chance.
    expect(new Set(chunks)).toEqual(new Set([1, 2]));
  });
});

describe('bad input', () => {
  /** All that there is; a lock leaves its trace in no column. */
  const everything = () =>
    world.sql(
      `SELECT 'stream' AS kind, to_jsonb(s) AS row FROM baton.streams s UNION ALL
       SELECT 'chunk', to_jsonb(c) FROM baton.stream_chunks c UNION ALL
       SELECT 'producer', to_jsonb(p) FROM baton.stream_producers p ORDER BY 1, 2`,
    );

  it('is refused with a typed error, and the tables are as before', async () => {
    await streams.append('bad', 'a', { producer: { id: 'p', epoch: 2, seq: 0 } });
    await streams.append('bad closed', 'a');
    await streams.closeStream('bad closed', { status: 'error' });
    const before = await everything();
    const large = Buffer.alloc(1024 * 1024 + 1);
    const calls: readonly (readonly [string, () => Promise<unknown>])[] = [
      ...['', 'a\0b', 'n'.repeat(513), '\udc00', 7 as never].flatMap((name): [string, () => Promise<unknown>][] => [
        ['STREAM_NAME_INVALID', () => streams.append(name, 'x')],
        ['STREAM_NAME_INVALID', () => streams.appendMany(name, [])],
        ['STREAM_NAME_INVALID', () => streams.open(name)],
        ['STREAM_NAME_INVALID', () => streams.closeStream(name)],
      ]),
      ['CHUNK_TOO_LARGE', () => streams.append('bad new', large)],
      ['CHUNK_TOO_LARGE', () => streams.append('bad', 'é'.repeat(512 * 1024 + 1))],
      ['CHUNK_TOO_LARGE', () => streams.appendMany('bad', ['small', large])],
      ['OPTIONS_INVALID', () => streams.append('bad new', null as never)],
      ['OPTIONS_INVALID', () => streams.append('bad new', new DataView(new ArrayBuffer(1)) as never)],
      ['OPTIONS_INVALID', () => streams.appendMany('bad', ['a', undefined as never])],
      ['OPTIONS_INVALID', () => streams.append('bad', 'x', { producer: { id: 'p', epoch: -1, seq: 0 } })],
      ['OPTIONS_INVALID', () => streams.append('bad', 'x', { producer: { id: 'p', epoch: 2, seq: 1.5 } })],
      ['OPTIONS_INVALID', () => streams.append('bad', 'x', { expectedIndex: -1 })],
      ['OPTIONS_INVALID', () => streams.closeStream('bad', { status: 'over' as never })],
      ['OPTIONS_INVALID', () => streams.open('bad new', { writerLease: '10ms' })],
      ['OPTIONS_INVALID', () => streams.open('bad new', { group: 'a\0b' })],
      ['OPTIONS_INVALID', () => streams.open('bad new', { producer: { id: '', epoch: 1 } })],
      ['STREAM_CLOSED', () => streams.append('bad closed', 'x')],
      ['STREAM_CLOSED', () => streams.appendMany('bad closed', ['x', 'y'])],
      ['STREAM_CLOSED', () => streams.closeStream('bad closed', { status: 'done' })],
      ['EXPECTED_INDEX_MISMATCH', () => streams.append('bad', 'x', { expectedIndex: 0 })],
      ['EXPECTED_INDEX_MISMATCH', () => streams.closeStream('bad', { expectedIndex: 2 })],
      ['PRODUCER_FENCED', () => streams.append('bad', 'x', { producer: { id: 'p', epoch: 1, seq: 1 } })],
      ['PRODUCER_FENCED', () => streams.closeStream('bad', { producer: { id: 'p', epoch: 1, seq: 1 } })],
      ['PRODUCER_FENCED', () => streams.open('bad', { producer: { id: 'p', epoch: 1 } })],
      ['PRODUCER_SEQ_GAP', () => streams.append('bad', 'x', { producer: { id: 'p', epoch: 2, seq: 2 } })],
      ['STREAM_EXISTS', () => streams.open('bad', { ifExists: 'fail' })],
    ];
    for (const [code, call] of calls) {
      const refused = await call().then(
        () => 'nothing',
        (error: unknown) => error,
      );
      expect([call.toString(), refused]).toMatchObject([call.toString(), { code, retryable: false }]);
    }
    expect(await everything()).toEqual(before);
  });
});

describe('a producer', () => {
  it('is not stored twice when it repeats a call, also after the close', async () => {
    const call = (seq: number, data: string) => streams.append('dup', data, { producer: { id: 'p', epoch: 5, seq } });
    await streams.append('dup', 'other');
    await call(0, 'a');
    expect(await call(0, 'a')).toEqual({ firstIndex: 1, lastIndex: 1, duplicate: true });
    await call(1, 'b');
    expect(await call(0, 'a')).toEqual({ firstIndex: -1, lastIndex: -1, duplicate: true });
    await streams.closeStream('dup');
    expect(await call(1, 'b')).toEqual({ firstIndex: 2, lastIndex: 2, duplicate: true });
    await expect(call(2, 'c')).rejects.toMatchObject({ code: 'STREAM_CLOSED' });
    expect(await textsOf(streams.read('dup'))).toEqual(['other', 'a', 'b']);
  });

  it('may not leave a number out, and is told which is due', async () => {
    const call = (epoch: number, seq: number) => streams.append('gap', 'x', { producer: { id: 'p', epoch, seq } });
    await expect(call(1, 1)).rejects.toMatchObject({ code: 'PRODUCER_SEQ_GAP', expectedSeq: 0 });
    await call(1, 0);
    await expect(call(1, 2)).rejects.toMatchObject({ code: 'PRODUCER_SEQ_GAP', expectedSeq: 1 });
    await expect(call(2, 1)).rejects.toMatchObject({ code: 'PRODUCER_SEQ_GAP', expectedSeq: 0 });
    await call(2, 0);
    await expect(call(1, 1)).rejects.toMatchObject({ code: 'PRODUCER_FENCED', currentEpoch: 2 });
    expect((await streams.info('gap', { producer: 'p' })).producer).toEqual({
      epoch: 2,
      lastSeq: 0,
      lastIndex: 1,
    });
  });

  it('fences the old owner with a close of a higher epoch', async () => {
    const epoch = 1_800_000_000_000_000;
    const old = await streams.open('dead', { producer: { id: 'p', epoch } });
    await old.append('a');
    await streams.closeStream('dead', { status: 'error', producer: { id: 'p', epoch: epoch + 1, seq: 0 } });
    await expect(old.append('b')).rejects.toMatchObject({ code: 'PRODUCER_FENCED', currentEpoch: epoch + 1 });
    await expect(old.close({ status: 'error' })).rejects.toMatchObject({ code: 'PRODUCER_FENCED' });
  });

  it('does not take the number of an append for its close', async () => {
    await streams.append('mixed', 'a', { producer: { id: 'p', epoch: 1, seq: 0 } });
    await expect(streams.closeStream('mixed', { producer: { id: 'p', epoch: 1, seq: 0 } })).rejects.toMatchObject({
      code: 'PRODUCER_SEQ_GAP',
      expectedSeq: 1,
    });
    await streams.closeStream('mixed', { producer: { id: 'p', epoch: 1, seq: 1 } });
    await streams.closeStream('mixed', { producer: { id: 'p', epoch: 1, seq: 1 } });
    await expect(streams.append('mixed', 'b', { producer: { id: 'p', epoch: 1, seq: 1 } })).rejects.toMatchObject({
      code: 'STREAM_CLOSED',
    });
  });
});

describe('a writer', () => {
  it('keeps the order of appends that nobody awaits', async () => {
    const writer = await streams.open('unawaited', { producer: { id: 'p', epoch: 1 } });
    const appended = Promise.all(Array.from({ length: 200 }, (_, i) => writer.append(`${i}`)));
    await writer.close();
    await appended;
    expect(writer.nextIndex).toBe(200);
    expect(await textsOf(streams.read('unawaited'))).toEqual(Array.from({ length: 200 }, (_, i) => `${i}`));
  });

  it('goes on where an earlier one of the same epoch stopped', async () => {
    const producer = { id: 'p', epoch: 3 };
    await (await streams.open('resumed', { producer, group: 'g' })).append('a');
    const writer = await streams.open('resumed', { producer, group: 'other' });
    expect(writer.nextIndex).toBe(1);
    await writer.append('b');
    expect(await streams.info('resumed', { producer: 'p' })).toMatchObject({
      tailIndex: 1,
      group: 'g',
      producer: { epoch: 3, lastSeq: 1 },
    });
  });

  it('is refused from the moment a newer owner has opened the stream', async () => {
    const old = await streams.open('owned', { producer: { id: 'p', epoch: 1 } });
    await old.append('a');
    const current = await streams.open('owned', { producer: { id: 'p', epoch: 2 } });
    await expect(old.append('b')).rejects.toMatchObject({ code: 'PRODUCER_FENCED', currentEpoch: 2 });
    await expect(streams.open('owned', { producer: { id: 'p', epoch: 1 } })).rejects.toMatchObject({
      code: 'PRODUCER_FENCED',
      currentEpoch: 2,
    });
    await current.append('c');
    expect((await streams.page('owned')).data.map(({ data }) => Buffer.from(data).toString())).toEqual(['a', 'c']);
  });

  it('does not pass off its chunk as stored when a second writer of its epoch took the number', async () => {
    const producer = { id: 'p', epoch: 1 };
    const [first, second] = [await streams.open('shared', { producer }), await streams.open('shared', { producer })];
    await first.append('a');
    await expect(second.append('b')).rejects.toMatchObject({ code: 'PRODUCER_FENCED' });
  });

  it('opens a closed stream, and learns there that it is closed', async () => {
    await streams.append('shut', 'a');
    await streams.closeStream('shut');
    const writer = await streams.open('shut', { producer: { id: 'p', epoch: 1 } });
    expect(writer.nextIndex).toBe(1);
    await expect(writer.append('b')).rejects.toMatchObject({ code: 'STREAM_CLOSED', end: { status: 'done' } });
    await writer.close();
  });

  it('refuses what is queued behind a refused append', async () => {
    const writer = await streams.open('behind', { producer: { id: 'p', epoch: 1 } });
    await streams.open('behind', { producer: { id: 'p', epoch: 2 } });
    const results = await Promise.allSettled([writer.append('a'), writer.append('b'), writer.close()]);
    for (const result of results) expect(result).toMatchObject({ reason: { code: 'PRODUCER_FENCED' } });
    expect((await streams.info('behind')).status).toBe('open');
  });

  it('takes at most 1 000 appends that wait', async () => {
    const writer = await streams.open('flood', { producer: { id: 'p', epoch: 1 } });
    const results = await Promise.allSettled(Array.from({ length: 1_100 }, (_, i) => writer.append(`${i}`)));
    const refused = results.filter(({ status }) => status === 'rejected');
    expect(refused).toHaveLength(100);
    expect(refused[0]).toMatchObject({ reason: { code: 'WRITER_QUEUE_FULL', retryable: true } });
    expect((await streams.info('flood')).tailIndex).toBe(999);
  });
});
