import type { PgStreamService, StreamWriter } from '@nest-baton/pg-stream';
import { hintsUnderTest, waitFor } from '@nest-baton/testing';
import { DataSource } from 'typeorm';
import { StreamsWorld, textsOf } from './support/streams-world.js';

let world: StreamsWorld;
let streams: PgStreamService;
let dataSource: DataSource;

beforeAll(async () => {
  world = await StreamsWorld.create();
  // With hints there is no poll: whatever arrives was told after the commit.
  streams = await world.service({ pollInterval: hintsUnderTest() === 'on' ? 0 : '50ms' });
  dataSource = await new DataSource({ type: 'postgres', url: world.url }).initialize();
});
afterAll(async () => {
  await dataSource.destroy();
  await world.stop();
});

const rollBack = new Error('roll back');

async function readerOf(stream: string): Promise<Promise<string[]>[]> {
  const read = [textsOf(streams.read(stream))];
  await waitFor(() => streams.stats().waitingStreams === 1, { description: 'the reader to wait' });
  return read;
}

describe('an append in a transaction of the caller', () => {
  it('is there after the commit of an EntityManager, not before, and wakes the reader then', async () => {
    const read = await readerOf('manager');
    await dataSource.transaction(async (transaction) => {
      expect(await streams.append('manager', 'a', { transaction })).toMatchObject({ lastIndex: 0 });
      expect(await streams.append('manager', 'b', { transaction })).toMatchObject({ lastIndex: 1 });
      await streams.closeStream('manager', { transaction });
      expect(await streams.info('manager')).toMatchObject({ tailIndex: -1, status: 'open' });
    });
    expect(await Promise.all(read)).toEqual([['a', 'b']]);
  });

  it('is gone after a rollback, and leaves no hole', async () => {
    await dataSource
      .transaction(async (transaction) => {
        await streams.append('rolled back', 'a', { transaction });
        throw rollBack;
      })
      .catch((error: unknown) => expect(error).toBe(rollBack));
    expect(await streams.info('rolled back')).toMatchObject({ tailIndex: -1, done: false });
    expect(await streams.append('rolled back', 'b')).toMatchObject({ lastIndex: 0 });
  });

  it('follows a QueryRunner and its savepoints', async () => {
    const read = await readerOf('savepoint');
    const runner = dataSource.createQueryRunner();
    await runner.startTransaction();
    await streams.append('savepoint', 'a', { transaction: runner });
    await runner.startTransaction();
    await streams.append('savepoint', 'undone', { transaction: runner });
    await runner.rollbackTransaction();
    await runner.startTransaction();
    await streams.append('savepoint', 'b', { transaction: runner });
    await runner.commitTransaction();
    expect((await streams.info('savepoint')).tailIndex).toBe(-1);
    await streams.closeStream('savepoint', { transaction: runner });
    await runner.commitTransaction();
    await runner.release();
    expect(await Promise.all(read)).toEqual([['a', 'b']]);
  });

  it('tells readers with the commit of a pg client', async () => {
    const read = await readerOf('client');
    const client = await world.client();
    await client.query('BEGIN');
    await streams.append('client', 'a', { transaction: client });
    await client.query('COMMIT');
    await client.query('BEGIN');
    await streams.append('client', 'undone', { transaction: client });
    await client.query('ROLLBACK');
    await client.query('BEGIN');
    await streams.closeStream('client', { transaction: client });
    await client.query('COMMIT');
    expect(await Promise.all(read)).toEqual([['a']]);
  });

  it('does not break the transaction when it is refused', async () => {
    await streams.closeStream('refused');
    await dataSource.transaction(async (transaction) => {
      await expect(streams.append('refused', 'a', { transaction })).rejects.toMatchObject({ code: 'STREAM_CLOSED' });
      await streams.append('not refused', 'a', { transaction });
    });
    expect((await streams.info('not refused')).tailIndex).toBe(0);
  });

  it('is refused where no transaction is open', async () => {
    const client = await world.client();
    for (const transaction of [client, dataSource.manager, dataSource.createQueryRunner()])
      await expect(streams.append('none', 'a', { transaction })).rejects.toMatchObject({ code: 'NOT_IN_TRANSACTION' });
    await expect(streams.info('none')).rejects.toMatchObject({ code: 'STREAM_NOT_FOUND' });
  });

  it('A5 D1 a chunk that commits late is not passed: who appends after it waits for its commit', async () => {
    for (let round = 0; round < 20; round++) {
      const stream = `late ${round}`;
      const read = textsOf(streams.read(stream));
      const client = await world.client();
      await client.query('BEGIN');
      await streams.append(stream, 'first', { transaction: client });
      const second = streams.append(stream, 'second');
      await waitFor(async () => (await world.count('stream_write')) >= 1, { description: 'the second to wait' });
      expect((await streams.info(stream)).tailIndex).toBe(-1);
      await client.query(round % 2 === 0 ? 'COMMIT' : 'ROLLBACK');
      expect((await second).lastIndex).toBe(round % 2 === 0 ? 1 : 0);
      await streams.closeStream(stream);
      expect(await read).toEqual(round % 2 === 0 ? ['first', 'second'] : ['second']);
      await client.end();
    }
  });

  it('surfaces a serialization failure and a deadlock as retryable', async () => {
    const client = await world.client();
    await streams.append('conflict', 'a');
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    await client.query('SELECT 1');
    await streams.append('conflict', 'b');
    await expect(streams.append('conflict', 'c', { transaction: client })).rejects.toMatchObject({
      code: 'STREAM_UNAVAILABLE',
      retryable: true,
      cause: { code: '23505' },
    });
    await client.query('ROLLBACK');

    const producer = { id: 'p', epoch: 1 };
    await streams.open('fenced', { producer });
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    await client.query('SELECT 1');
    await streams.open('fenced', { producer: { id: 'p', epoch: 2 } });
    await expect(
      streams.append('fenced', 'x', { producer: { ...producer, seq: 0 }, transaction: client }),
    ).rejects.toMatchObject({ code: 'STREAM_UNAVAILABLE', cause: { code: '40001' } });
    await client.query('ROLLBACK');

    const [left, right] = [await world.client(), await world.client()];
    for (const one of [left, right]) await one.query('BEGIN');
    await streams.append('left', 'x', { transaction: left });
    await streams.append('right', 'x', { transaction: right });
    const results = await Promise.allSettled([
      streams.append('right', 'y', { transaction: left }).finally(() => left.query('ROLLBACK')),
      streams.append('left', 'y', { transaction: right }).finally(() => right.query('ROLLBACK')),
    ]);
    const refused = results.filter(({ status }) => status === 'rejected');
    expect(refused).toHaveLength(1);
    expect(refused[0]).toMatchObject({
      reason: { code: 'STREAM_UNAVAILABLE', retryable: true, cause: { code: '40P01' } },
    });
  });
});

describe("a writer's close in a transaction", () => {
  let writer: StreamWriter;
  const closeAnd = async (outcome: 'commit' | 'rollback'): Promise<void> =>
    dataSource
      .transaction(async (transaction) => {
        await writer.close({ transaction });
        if (outcome === 'rollback') throw rollBack;
      })
      .catch((error: unknown) => expect(error).toBe(rollBack));

  it('can be followed by appends and another close after a rollback', async () => {
    writer = await streams.open('again', { producer: { id: 'p', epoch: 7 } });
    await writer.append('a');
    await closeAnd('rollback');
    await writer.append('b');
    await closeAnd('rollback');
    await closeAnd('commit');
    await expect(writer.append('c')).rejects.toMatchObject({ code: 'STREAM_CLOSED' });
    await writer.close();
    await expect(writer.close({ status: 'error' })).rejects.toMatchObject({
      code: 'STREAM_CLOSED',
      end: { status: 'done' },
    });
    expect(writer.nextIndex).toBe(2);
    expect(await textsOf(streams.read('again'))).toEqual(['a', 'b']);
  });

  it('comes after the appends that were not awaited', async () => {
    writer = await streams.open('after', { producer: { id: 'p', epoch: 7 } });
    const appended = Promise.all(['a', 'b', 'c'].map((data) => writer.append(data)));
    await closeAnd('commit');
    await appended;
    expect(await textsOf(streams.read('after'))).toEqual(['a', 'b', 'c']);
  });

  it('is refused to an owner of the past, and leaves the stream open', async () => {
    writer = await streams.open('past', { producer: { id: 'p', epoch: 7 } });
    await streams.open('past', { producer: { id: 'p', epoch: 8 } });
    await expect(dataSource.transaction((transaction) => writer.close({ transaction }))).rejects.toMatchObject({
      code: 'PRODUCER_FENCED',
    });
    expect((await streams.info('past')).done).toBe(false);
  });
});
