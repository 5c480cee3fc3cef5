import { type PgStreamOptions, PgStreamService, type RetentionOptions } from '@nest-baton/pg-stream';
import { waitFor } from '@nest-baton/testing';
import { StreamsWorld, take, textsOf } from './support/streams-world.js';

let world: StreamsWorld;
let streams: PgStreamService;
beforeAll(async () => {
  world = await StreamsWorld.create();
  // It marks and removes nothing.
  streams = await world.service({ sweepInterval: 0 });
});
afterAll(() => world.stop());

/** Retention is for a whole schema: each test has its own. */
async function retaining(schema: string, retention: RetentionOptions, options: PgStreamOptions = {}) {
  const service = await world.service({
    schema,
    sweepInterval: '100ms',
    pollInterval: '100ms',
    maxChunkBytes: 1_000,
    retention,
    ...options,
  });
  return service;
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => `${i}`);

/** As if the chunks before `index` had been written long ago. */
const age = (schema: string, stream: string, before: number) =>
  world.sql(
    `UPDATE ${schema}.stream_chunks c SET created_at = c.created_at - interval '1 day'
     FROM ${schema}.streams s WHERE s.id = c.stream_id AND s.name = $1 AND c.index < $2`,
    [stream, before],
  );

/** As if it had been closed long ago. */
const ageEnd = (schema: string, stream: string) =>
  world.sql(`UPDATE ${schema}.streams SET closed_at = closed_at - interval '1 day' WHERE name = $1`, [stream]);

async function count(schema: string, table: 'streams' | 'stream_chunks' | 'stream_producers'): Promise<number> {
  return (await world.sql(`SELECT FROM ${schema}.${table}`)).length;
}

async function beginsAt(service: PgStreamService, stream: string, firstIndex: number): Promise<void> {
  await waitFor(async () => (await service.info(stream)).firstIndex === firstIndex, {
    description: `'${stream}' to begin at ${firstIndex}`,
  });
}

describe('without retention', () => {
  it('everything is kept, however old and large', async () => {
    await world.service({ sweepInterval: '100ms' });
    await streams.appendMany('kept', ['a', 'b']);
    await streams.closeStream('kept');
    await age('baton', 'kept', 2);
    await ageEnd('baton', 'kept');
    await streams.appendMany('mark', ['a', 'b']);
    await streams.trim('mark', { before: 1 });
    await waitFor(
      async () => (await world.sql(`SELECT FROM baton.streams WHERE name = 'mark' AND swept_index = 1`)).length === 1,
      { description: 'a sweep' },
    );
    expect(await textsOf(streams.read('kept'))).toEqual(['a', 'b']);
  });
});

describe('closedFor', () => {
  it('deletes streams that were closed longer ago, with all that was stored of them, and no other ones', async () => {
    const service = await retaining('closed_for', { closedFor: '1h' });
    for (const name of ['old', 'young', 'open']) {
      await service.open(name, { producer: { id: 'p', epoch: 1 }, group: 'g' });
      await service.appendMany(name, numbers(700));
    }
    for (const name of ['old', 'young']) await service.closeStream(name);
    await age('closed_for', 'open', 700);
    await ageEnd('closed_for', 'old');
    await waitFor(async () => (await count('closed_for', 'streams')) === 2, { description: 'the old one to go' });
    expect(await service.list('g')).toEqual(['open', 'young']);
    expect([await count('closed_for', 'stream_chunks'), await count('closed_for', 'stream_producers')]).toEqual([
      1_400, 2,
    ]);
    expect(await service.append('old', 'another stream')).toMatchObject({ firstIndex: 0 });
  });

  it('tells a reader who was in the middle of it', async () => {
    const reading = await retaining('closed_read', {});
    await reading.appendMany('read', numbers(100));
    await reading.closeStream('read');
    const chunks = reading.read('read')[Symbol.asyncIterator]();
    await take(chunks, 64);
    await ageEnd('closed_read', 'read');
    await retaining('closed_read', { closedFor: '1h' });
    await waitFor(
      async () =>
        reading.info('read').then(
          () => false,
          () => true,
        ),
      { description: 'its end' },
    );
    await expect(chunks.next()).rejects.toMatchObject({ code: 'STREAM_DELETED' });
  });
});

describe('maxAge', () => {
  it('trims what is older, of open and of closed streams, and tells readers who are behind', async () => {
    const service = await retaining('max_age', {});
    for (const name of ['open', 'closed']) {
      await service.appendMany(name, numbers(100));
      await age('max_age', name, 70);
    }
    await service.closeStream('closed');
    const behind = service.read('open')[Symbol.asyncIterator]();
    await take(behind, 64);
    const late = textsOf(service.read('open', { startIndex: 100 }));
    await waitFor(() => service.stats().waitingStreams === 1, { description: 'the reader to wait' });
    await retaining('max_age', { maxAge: '1h' });
    for (const name of ['open', 'closed']) await beginsAt(service, name, 70);
    await expect(behind.next()).rejects.toMatchObject({ code: 'CURSOR_TRIMMED', firstIndex: 70 });
    expect(await textsOf(service.read('closed'))).toEqual(numbers(100).slice(70));
    await waitFor(async () => (await count('max_age', 'stream_chunks')) === 60, { description: 'the room' });
    await service.append('open', '100');
    await service.closeStream('open');
    expect(await late).toEqual(['100']);
  });

  it('trims a stream to nothing, which goes on at its place, also for its producer', async () => {
    const service = await retaining('max_age_all', { maxAge: '1h' });
    const writer = await service.open('all', { producer: { id: 'p', epoch: 1 } });
    for (const number of numbers(3)) await writer.append(number);
    await age('max_age_all', 'all', 3);
    await beginsAt(service, 'all', 3);
    expect(await service.info('all')).toMatchObject({ tailIndex: 2, keptBytes: 0 });
    expect(await writer.append('3')).toMatchObject({ firstIndex: 3 });
    expect(await service.append('all', '3', { producer: { id: 'p', epoch: 1, seq: 3 } })).toMatchObject({
      duplicate: true,
    });
    await writer.close();
    expect(await textsOf(service.read('all'))).toEqual(['3']);
  });
});

describe('maxBytes', () => {
  it('keeps as many of the last chunks as fit, and not one more', async () => {
    const service = await retaining('max_bytes', { maxBytes: 1_000 });
    for (const [name, size] of [
      ['exact', 100],
      ['odd', 300],
      ['large', 1_000],
      ['few', 10],
    ] as const)
      await service.appendMany(
        name,
        Array.from({ length: 50 }, () => 'x'.repeat(size)),
      );
    await beginsAt(service, 'exact', 40);
    await beginsAt(service, 'odd', 47);
    await beginsAt(service, 'large', 49);
    expect(await service.info('few')).toMatchObject({ firstIndex: 0, keptBytes: 500 });
    expect((await service.page('odd')).data.map(({ index }) => index)).toEqual([47, 48, 49]);
    await waitFor(async () => (await count('max_bytes', 'stream_chunks')) === 10 + 3 + 1 + 50, {
      description: 'the room',
    });
  });

  it('holds under four processes that append and sweep at once, and nothing is lost of what is kept', async () => {
    const processes = await Promise.all(numbers(4).map(() => retaining('busy', { maxBytes: 2_000, maxAge: '1h' })));
    const names = numbers(8).map((i) => `busy ${i}`);
    await Promise.all(
      processes.map(async (service) => {
        for (let i = 0; i < 60; i++) await Promise.all(names.map((name) => service.append(name, 'x'.repeat(100))));
      }),
    );
    for (const name of names) {
      await beginsAt(processes[0]!, name, 220);
      const page = await processes[0]!.page(name);
      expect(page.data.map(({ index }) => index)).toEqual(numbers(240).slice(220).map(Number));
    }
    await waitFor(async () => (await count('busy', 'stream_chunks')) === 20 * names.length, {
      description: 'the room',
    });
  });

  it('bounds a stream again as soon as its writers in two processes leave it alone', async () => {
    const service = await retaining('hot', { maxBytes: 1_000 });
    const other = await retaining('hot', {}, { sweepInterval: 0 });
    for (let burst = 1; burst <= 3; burst++) {
      await Promise.all(
        [service, service, other].map(async (one) => {
          for (let i = 0; i < 20; i++) await one.append('hot', 'x'.repeat(100));
        }),
      );
      await beginsAt(service, 'hot', burst * 60 - 10);
    }
  });

  it('waits for no transaction that holds a stream, and comes back to that stream', async () => {
    const service = await retaining('held', {});
    const client = await world.client();
    for (const name of ['held', 'free'])
      await service.appendMany(
        name,
        numbers(20).map(() => 'x'.repeat(100)),
      );
    await client.query('BEGIN');
    await client.query(`SELECT FROM held.streams WHERE name = 'held' FOR UPDATE`);
    const failures: unknown[] = [];
    const sweeping = await retaining('held', { maxBytes: 1_000 });
    sweeping.on('sweepFailed', ({ error }) => failures.push(error));
    await beginsAt(service, 'free', 10);
    await service.appendMany('free', ['x'.repeat(1_000)]);
    await beginsAt(service, 'free', 20);
    expect((await service.info('held')).firstIndex).toBe(0);
    await client.query('ROLLBACK');
    await beginsAt(service, 'held', 10);
    expect(failures).toEqual([]);
  });
});

describe('a sweep over many streams with nothing to do', () => {
  const STREAMS = 20_000;

  async function blocks(sql: string): Promise<number> {
    // Once before, since a first call also reads of what its function consists.
    await world.sql(sql);
    const [row] = await world.sql<{ 'QUERY PLAN': readonly [{ Plan: Record<string, number> }] }>(
      `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${sql}`,
    );
    const plan = row!['QUERY PLAN'][0].Plan;
    return plan['Shared Hit Blocks']! + plan['Shared Read Blocks']!;
  }

  it('looks at indexes and at a bounded number of streams', async () => {
    await retaining('many', {}, { sweepInterval: 0 });
    await world.sql(
      `INSERT INTO many.streams (name, status, closed_at, lease_ms, renewed_at)
       SELECT n, CASE n % 2 WHEN 0 THEN 'open' ELSE 'done' END, CASE n % 2 WHEN 1 THEN now() END,
              CASE n % 2 WHEN 0 THEN 3600000 END, CASE n % 2 WHEN 0 THEN now() END
       FROM generate_series(1, $1::int) n`,
      [STREAMS],
    );
    await world.sql(
      `INSERT INTO many.stream_chunks (stream_id, index, total_bytes, data)
       SELECT id, i, i + 1, 'x' FROM many.streams, generate_series(0, 1) i`,
    );
    await world.sql('VACUUM ANALYZE many.streams, many.stream_chunks');
    expect(await blocks(`SELECT * FROM many.stream_abort_silent(100, 'm')`)).toBeLessThan(100);
    expect(await blocks(`SELECT * FROM many.stream_expire(500, 3600000)`)).toBeLessThan(100);
    expect(
      await blocks(
        `SELECT id FROM many.streams WHERE (deleted_at IS NOT NULL OR swept_index < first_index) AND id > 0 ORDER BY id LIMIT 100`,
      ),
    ).toBeLessThan(100);
    // Two chunks of each of 500 streams, some blocks each.
    expect(await blocks(`SELECT * FROM many.stream_retain(0, 500, 3600000, 1000)`)).toBeLessThan(6_000);
  });

  it('comes round to every stream', async () => {
    await world.sql(
      `UPDATE many.stream_chunks SET created_at = created_at - interval '1 day' WHERE stream_id % 4000 = 0`,
    );
    const service = await retaining('many', { maxAge: '1h' });
    const trimmed = async () => (await world.sql(`SELECT FROM many.streams WHERE first_index = 2`)).length;
    await waitFor(async () => (await trimmed()) === STREAMS / 4_000, { description: 'all of them to be trimmed' });
    expect(await service.info('1')).toMatchObject({ firstIndex: 0, keptBytes: 2 });
  });
});
