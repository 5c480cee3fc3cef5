import type { PgStreamService } from '@nest-baton/pg-stream';
import { waitFor } from '@nest-baton/testing';
import { StreamsWorld } from './support/streams-world.js';

let world: StreamsWorld;
let streams: PgStreamService;
beforeAll(async () => {
  world = await StreamsWorld.create();
  streams = await world.service({ sweepInterval: '100ms' });
});
afterAll(() => world.stop());

const swept = (stream: string) =>
  waitFor(
    async () =>
      (await world.sql('SELECT FROM baton.streams WHERE name = $1 AND swept_index = first_index', [stream])).length ===
      1,
    { description: `the stream '${stream}' to be swept` },
  );

describe('info', () => {
  it('tells everything of a stream that was opened and not written', async () => {
    await streams.open('new', { group: 'g' });
    expect(await streams.info('new')).toEqual({
      tailIndex: -1,
      firstIndex: 0,
      keptBytes: 0,
      done: false,
      status: 'open',
      group: 'g',
      createdAt: expect.any(Date),
    });
  });

  it('tells where a trimmed stream begins, and how many bytes it keeps, before and after their room comes back', async () => {
    await streams.appendMany('trimmed', ['a', 'bb', 'ccc', 'dddd']);
    expect(await streams.info('trimmed')).toMatchObject({ firstIndex: 0, tailIndex: 3, keptBytes: 10 });
    await streams.trim('trimmed', { before: 2 });
    expect(await streams.info('trimmed')).toMatchObject({ firstIndex: 2, tailIndex: 3, keptBytes: 7 });
    await swept('trimmed');
    expect(await streams.info('trimmed')).toMatchObject({ firstIndex: 2, tailIndex: 3, keptBytes: 7 });
    await streams.trim('trimmed', { before: 9 });
    expect(await streams.info('trimmed')).toMatchObject({ firstIndex: 4, tailIndex: 3, keptBytes: 0 });
    await swept('trimmed');
    expect(await streams.info('trimmed')).toMatchObject({ firstIndex: 4, tailIndex: 3, keptBytes: 0 });
    await streams.append('trimmed', 'eeeee');
    expect(await streams.info('trimmed')).toMatchObject({ firstIndex: 4, tailIndex: 4, keptBytes: 5 });
  });

  it('tells when it was created, written and closed', async () => {
    await streams.append('times', 'a');
    const first = await streams.info('times');
    await streams.append('times', 'b');
    await streams.closeStream('times');
    const { createdAt, writtenAt, closedAt } = await streams.info('times');
    expect(createdAt).toEqual(first.createdAt);
    const times = [createdAt, first.writtenAt, writtenAt, closedAt].map((time) => time?.getTime());
    expect(times).toEqual([...times].sort((a, b) => a! - b!));
    expect(new Set(times).has(undefined)).toBe(false);
  });

  it('tells of the lease, which appends and renewals extend, until the stream is closed', async () => {
    const writer = await streams.open('leased', { writerLease: '1h' });
    const opened = await streams.info('leased');
    expect(opened.lease?.ms).toBe(3_600_000);
    expect(opened.lease!.until.getTime() - opened.createdAt.getTime()).toBeGreaterThanOrEqual(3_600_000);
    await writer.append('a');
    const written = await streams.info('leased');
    expect(written.lease!.until.getTime() - written.writtenAt!.getTime()).toBe(3_600_000);
    await writer.renew();
    const renewed = await streams.info('leased');
    expect(renewed.lease!.until.getTime()).toBeGreaterThanOrEqual(written.lease!.until.getTime());
    await writer.close();
    expect(await streams.info('leased')).not.toHaveProperty('lease');
  });

  it("tells of a producer, whether the tail is its own or somebody else's", async () => {
    await streams.append('produced', 'a', { producer: { id: 'p', epoch: 3, seq: 0 } });
    await streams.append('produced', 'b', { producer: { id: 'p', epoch: 3, seq: 1 } });
    const facts = { epoch: 3, lastSeq: 1, lastIndex: 1 };
    expect((await streams.info('produced', { producer: 'p' })).producer).toEqual(facts);
    await streams.append('produced', 'c');
    expect((await streams.info('produced', { producer: 'p' })).producer).toEqual(facts);
    expect(await streams.info('produced', { producer: 'q' })).not.toHaveProperty('producer');
    await streams.open('produced', { producer: { id: 'p', epoch: 4 } });
    expect((await streams.info('produced', { producer: 'p' })).producer).toEqual({ epoch: 4, lastSeq: -1 });
  });

  it('costs the same however long the stream is: no row is counted', async () => {
    await streams.appendMany(
      'long',
      Array.from({ length: 5_000 }, () => 'x'),
    );
    await world.sql('ANALYZE baton.stream_chunks');
    const [row] = await world.sql<{ 'QUERY PLAN': readonly [{ Plan: Plan }] }>(
      `EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM baton.stream_heads WHERE name = 'long'`,
    );
    expect(rowsRead(row!['QUERY PLAN'][0].Plan)).toBeLessThan(10);
  });
});

interface Plan {
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly Plans?: readonly Plan[];
}

function rowsRead(plan: Plan): number {
  const inner = (plan.Plans ?? []).map(rowsRead).reduce((sum, rows) => sum + rows, 0);
  return inner + plan['Actual Rows'] * plan['Actual Loops'];
}
