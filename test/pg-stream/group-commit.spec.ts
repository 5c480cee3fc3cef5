import type { Appended, PgStreamService } from '@nest-baton/pg-stream';
import { StreamsWorld, textsOf } from './support/streams-world.js';

let world: StreamsWorld;
let streams: PgStreamService;

beforeAll(async () => {
  world = await StreamsWorld.create();
  streams = await world.service();
});
afterAll(() => world.stop());

/** How many transactions have written the chunks of the streams whose names match. */
async function commitsOf(pattern: string): Promise<number> {
  const [row] = await world.sql<{ n: string }>(
    `SELECT count(DISTINCT c.xmin::text) AS n FROM baton.stream_chunks c JOIN baton.streams s ON s.id = c.stream_id
     WHERE s.name ~ $1`,
    [pattern],
  );
  return Number(row!.n);
}

const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => 'stored',
    (error: { code?: string }) => error.code,
  );

describe('appends that are under way together', () => {
  it.each([
    [50, 1],
    [200, 2],
  ])('to %d streams share commits: %d', async (count, commits) => {
    await streams.append('warm', 'so that there is a connection');
    const calls = Array.from({ length: 256 }, (_, i) => streams.append(`shared ${count} ${i % count}`, `${i}`));
    const appended = await Promise.all(calls);
    expect(await commitsOf(`^shared ${count} `)).toBe(commits);
    expect(appended.map(({ lastIndex }) => lastIndex)).toEqual(appended.map((_, i) => Math.floor(i / count)));
    for (const stream of [0, 7, count - 1]) {
      const texts = appended.map((_, i) => `${i}`).filter((_, i) => i % count === stream);
      expect(await textsOf(streams.read(`shared ${count} ${stream}`, { live: false }))).toEqual(texts);
    }
  });

  it('of a producer share it too, with the numbers of a writer that does not await', async () => {
    const writer = await streams.open('pipelined', { producer: { id: 'p', epoch: 1 } });
    const appended = await Promise.all(Array.from({ length: 500 }, (_, i) => writer.append(`${i}`)));
    expect(appended.map(({ firstIndex }) => firstIndex)).toEqual([...Array(500).keys()]);
    expect(await commitsOf('^pipelined$')).toBe(1);
    expect((await streams.info('pipelined', { producer: 'p' })).producer).toMatchObject({
      lastSeq: 499,
      lastIndex: 499,
    });
  });

  it('leave in the order in which they came, those of all callers of a stream', async () => {
    const texts: string[] = [];
    const calls: Promise<Appended>[] = [];
    for (let round = 0; round < 40; round++) {
      for (let i = 0; i < 5; i++) {
        texts.push(`${round}:${i}`);
        calls.push(streams.append('ordered', `${round}:${i}`));
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(calls);
    expect(await textsOf(streams.read('ordered', { live: false }))).toEqual(texts);
    expect(await commitsOf('^ordered$')).toBeLessThan(41);
  });

  it('are told each what became of it, although others beside them are refused', async () => {
    await streams.closeStream('m closed');
    await streams.open('m fenced', { producer: { id: 'p', epoch: 2 } });
    await streams.append('m dup', 'a', { producer: { id: 'p', epoch: 1, seq: 0 } });
    await streams.append('m placed', 'a');
    const producer = { id: 'p', epoch: 1, seq: 0 };
    const results = await Promise.allSettled([
      streams.append('m plain', 'a'),
      streams.append('m closed', 'a'),
      streams.append('m fenced', 'a', { producer }),
      streams.append('m gap', 'a', { producer: { ...producer, seq: 3 } }),
      streams.append('m dup', 'a', { producer }),
      streams.append('m placed', 'b', { expectedIndex: 1 }),
      streams.append('m placed', 'c', { expectedIndex: 1 }),
      streams.closeStream('m ended', { status: 'error' }),
      streams.append('m ended', 'too late'),
      streams.append('m plain', 'b'),
    ]);
    expect(
      results.map((one) => (one.status === 'fulfilled' ? one.value : (one.reason as { code: string }).code)),
    ).toEqual([
      { firstIndex: 0, lastIndex: 0, duplicate: false },
      'STREAM_CLOSED',
      'PRODUCER_FENCED',
      'PRODUCER_SEQ_GAP',
      { firstIndex: 0, lastIndex: 0, duplicate: true },
      { firstIndex: 1, lastIndex: 1, duplicate: false },
      'EXPECTED_INDEX_MISMATCH',
      undefined,
      'STREAM_CLOSED',
      { firstIndex: 1, lastIndex: 1, duplicate: false },
    ]);
  });

  it('of a producer are told apart when some of them are stored already', async () => {
    const call = (seq: number) => streams.append('overlap', `${seq}`, { producer: { id: 'p', epoch: 1, seq } });
    await call(0);
    await call(1);
    const results = await Promise.all([0, 1, 2, 3].map(call));
    expect(results.map(({ duplicate }) => duplicate)).toEqual([true, true, false, false]);
    expect(results.map(({ lastIndex }) => lastIndex)).toEqual([-1, 1, 2, 3]);
    expect((await Promise.all([2, 3].map(call))).map(({ lastIndex }) => lastIndex)).toEqual([-1, 3]);
    expect(await textsOf(streams.read('overlap', { live: false }))).toEqual(['0', '1', '2', '3']);
  });

  it('of several producers on one stream keep the numbers of each, whoever wrote last', async () => {
    const call = (id: string, seq: number) =>
      streams.append('turns', `${id}${seq}`, { producer: { id, epoch: 1, seq } });
    for (let seq = 0; seq < 3; seq++) {
      await Promise.all([call('a', seq), call('b', seq), streams.append('turns', 'plain')]);
      for (const id of ['a', 'b']) expect((await call(id, seq)).duplicate).toBe(true);
    }
    const at = async (id: string) => (await streams.info('turns', { producer: id })).producer;
    expect(await at('a')).toEqual({ epoch: 1, lastSeq: 2, lastIndex: 6 });
    expect(await at('b')).toEqual({ epoch: 1, lastSeq: 2, lastIndex: 7 });
    await streams.open('turns', { producer: { id: 'b', epoch: 2 } });
    expect(await at('b')).toEqual({ epoch: 2, lastSeq: -1 });
    expect(await call('a', 2)).toEqual({ firstIndex: 6, lastIndex: 6, duplicate: true });
    expect(await codeOf(call('b', 3))).toBe('PRODUCER_FENCED');
  });
});

describe('data that Postgres refuses', () => {
  it('is refused alone, and what a writer has behind it is refused with it', async () => {
    await world.sql(`ALTER TABLE baton.stream_chunks ADD CONSTRAINT no_poison CHECK (data <> 'poison')`);
    try {
      const writer = await streams.open('q writer', { producer: { id: 'p', epoch: 1 } });
      const calls = [
        streams.append('q beside', 'a'),
        streams.append('q mixed', 'a'),
        streams.append('q mixed', 'poison'),
        streams.append('q mixed', 'b'),
        writer.append('a'),
        writer.append('poison'),
        writer.append('b'),
      ];
      const refused = ['23514', '23514', '23514'];
      expect(await Promise.all(calls.map(codeOf))).toEqual([
        'stored',
        'stored',
        refused[0],
        'stored',
        'stored',
        ...refused.slice(1),
      ]);
      expect((await writer.append('c')).lastIndex).toBe(1);
      expect(await textsOf(streams.read('q mixed', { live: false }))).toEqual(['a', 'b']);
      expect(await textsOf(streams.read('q writer', { live: false }))).toEqual(['a', 'c']);
    } finally {
      await world.sql('ALTER TABLE baton.stream_chunks DROP CONSTRAINT no_poison');
    }
  });
});

describe('what waits for its commit', () => {
  it('is bounded by maxPendingBytes; what is refused was not written', async () => {
    const small = await world.service({ maxPendingBytes: 1024 * 1024 });
    const chunk = Buffer.alloc(100 * 1024);
    const codes = await Promise.all(Array.from({ length: 30 }, () => codeOf(small.append('bounded', chunk))));
    const stored = codes.filter((code) => code === 'stored').length;
    expect(stored).toBe(10);
    expect(new Set(codes)).toEqual(new Set(['stored', 'WRITER_QUEUE_FULL']));
    expect((await small.info('bounded')).tailIndex).toBe(stored - 1);
    expect((await small.append('bounded', chunk)).lastIndex).toBe(stored);
    await expect(small.appendMany('bounded', Array<Buffer>(11).fill(chunk))).rejects.toMatchObject({
      code: 'CHUNK_TOO_LARGE',
    });
  });

  it('is written before the shutdown ends, and nothing is taken any more', async () => {
    const closing = await world.service();
    const calls = Array.from({ length: 50 }, (_, i) => closing.append('last', `${i}`));
    await closing.beforeApplicationShutdown();
    await closing.onApplicationShutdown();
    expect(await Promise.all(calls.map(codeOf))).toEqual(Array(50).fill('stored'));
    expect(await codeOf(closing.append('last', 'x'))).toBe('SHUTTING_DOWN');
  });
});
