import type { PgStreamService } from '@nest-baton/pg-stream';
import { waitFor } from '@nest-baton/testing';
import { StreamsWorld, textsOf } from './support/streams-world.js';

let world: StreamsWorld;
let streams: PgStreamService;
beforeAll(async () => {
  world = await StreamsWorld.create();
  // Several sweep the same streams.
  for (let i = 0; i < 3; i++) streams = await world.service({ sweepInterval: '100ms', pollInterval: '100ms' });
});
afterAll(() => world.stop());

/** As if the writer had been silent for longer than its lease. */
const silence = (stream: string) =>
  world.sql(`UPDATE baton.streams s SET renewed_at = renewed_at - interval '1 day' WHERE name = $1`, [stream]);

const status = async (stream: string) => (await streams.info(stream)).status;

describe('a writer that falls silent', () => {
  it('ends its stream for all readers, as aborted, and is refused when it comes back', async () => {
    const writer = await streams.open('silent', { writerLease: '1h' });
    const reader = streams.read('silent');
    const read = textsOf(reader);
    await silence('silent');
    expect(await read).toEqual([]);
    const end = { status: 'aborted', message: 'the writer lease ran out' };
    expect(await reader.ended).toEqual(end);
    await expect(writer.append('late')).rejects.toMatchObject({ code: 'STREAM_CLOSED', end });
    await expect(writer.renew()).rejects.toMatchObject({ code: 'STREAM_CLOSED' });
  });

  it('ends it after the lease and not before, counted from its last append', async () => {
    const writer = await streams.open('counted', { writerLease: '1s' });
    for (let i = 0; i < 4; i++) {
      await writer.append(`${i}`);
      await new Promise((resolve) => setTimeout(resolve, 400));
    }
    expect(await status('counted')).toBe('open');
    await waitFor(async () => (await status('counted')) === 'aborted', { description: 'the end of the lease' });
    expect(await textsOf(streams.read('counted'))).toEqual(['0', '1', '2', '3']);
  });

  it('is given another lease by a transaction that holds the stream while others are swept', async () => {
    const idle = await world.service({ schema: 'held', sweepInterval: 0 });
    for (const name of ['held', 'mark']) await idle.open(name, { writerLease: '1h' });
    await world.sql(`UPDATE held.streams SET renewed_at = renewed_at - interval '1 day'`);
    const client = await world.client();
    await client.query('BEGIN');
    await client.query(`UPDATE held.streams SET renewed_at = clock_timestamp() WHERE name = 'held'`);
    await world.service({ schema: 'held', sweepInterval: '100ms' });
    await waitFor(async () => (await idle.info('mark')).status === 'aborted', { description: 'a sweep' });
    await client.query('COMMIT');
    expect((await idle.info('held')).status).toBe('open');
  });

  it('leaves alone streams without a lease', async () => {
    await streams.open('free');
    await streams.open('mark 2', { writerLease: '1h' });
    await silence('mark 2');
    await waitFor(async () => (await status('mark 2')) === 'aborted', { description: 'a sweep' });
    expect(await status('free')).toBe('open');
  });
});
