import type { PgStreamOptions, PgStreamService } from '@nest-baton/pg-stream';
import { StallMeter, waitFor } from '@nest-baton/testing';
import { StreamsWorld, take, textsOf } from '../support/streams-world.js';

let world: StreamsWorld;
beforeAll(async () => void (world = await StreamsWorld.create()));
afterAll(() => world.stop());

const LISTENING = '^LISTEN';

async function waiting(streams: PgStreamService, count = 1): Promise<void> {
  await waitFor(() => streams.stats().waitingStreams === count, { description: 'readers to wait' });
}

describe('a notification that never comes', () => {
  it('S1 polling fallback delivers chunks inserted with NOTIFY suppressed', async () => {
    const reading = await world.service({ pollInterval: '100ms' });
    const mute = await world.service({ notify: 'off' });
    const read = textsOf(reading.read('s1'));
    await waiting(reading);
    for (const data of ['a', 'b', 'c']) await mute.append('s1', data);
    await mute.closeStream('s1');
    expect(await read).toEqual(['a', 'b', 'c']);
    expect(reading.stats().notificationsReceived).toBe(0);
    expect(reading.stats().pollQueries).toBeGreaterThan(0);
  });

  it('A33 costs one poll interval at most', async () => {
    const pollIntervalMs = 400;
    const reading = await world.service({ hints: 'on', schema: 'a33', pollInterval: pollIntervalMs });
    const mute = await world.service({ hints: 'on', schema: 'a33', notify: 'off' });
    const chunks = reading.read('a33')[Symbol.asyncIterator]();
    const delays: number[] = [];
    const stalls = StallMeter.start();
    for (let i = 0; i < 5; i++) {
      const next = chunks.next().then(() => performance.now());
      await waiting(reading);
      // At another moment between two looks each time.
      await new Promise((resolve) => setTimeout(resolve, (i * pollIntervalMs) / 5));
      await mute.append('a33', `${i}`);
      const committedAt = performance.now();
      delays.push((await next) - committedAt);
    }
    // The interval, a tenth of it by chance, and the queries.
    expect(Math.max(...delays)).toBeLessThan(pollIntervalMs * 1.1 + 150 + stalls.stop());
    // It is the poll that brings them.
    expect(Math.max(...delays)).toBeGreaterThan(pollIntervalMs / 4);
    expect(reading.stats().notificationsReceived).toBe(0);
    await chunks.return!();
  });

  it('S4 two pre-seeded chunks, startIndex=2, several poll ticks deliver nothing, third write delivers exactly the third', async () => {
    const reading = await world.service({ pollInterval: '50ms' });
    const mute = await world.service({ notify: 'off' });
    for (const data of ['1', '2']) await mute.append('s4', data);
    const chunks = reading.read('s4', { startIndex: 2 })[Symbol.asyncIterator]();
    const next = take(chunks, 1);
    await waiting(reading);
    const { pollQueries, slicesRead } = reading.stats();
    await waitFor(() => reading.stats().pollQueries >= pollQueries + 4, { description: 'some looks' });
    expect(reading.stats().slicesRead).toBe(slicesRead);
    await mute.append('s4', '3');
    expect(await next).toEqual(['3']);
    await chunks.return!();
  });

  it('S5 nobody is polled for once the reader has read the end, without cancel()', async () => {
    const streams = await world.service({ pollInterval: '50ms' });
    await streams.closeStream('s5');
    await textsOf(streams.read('s5'));
    const { pollQueries } = streams.stats();
    await streams.append('unrelated', 'x');
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(streams.stats()).toMatchObject({ pollQueries, watchedStreams: 0 });
  });

  it('is one query a look for 50 streams with 4 readers each, and one page for all readers of a stream that moved', async () => {
    const { pool, statements } = world.countingPool();
    const reading = await world.service({ pool, pollInterval: '50ms', sweepInterval: 0 });
    const mute = await world.service({ notify: 'off' });
    const begun = statements();
    const abort = new AbortController();
    const texts: string[] = [];
    const reads = Array.from({ length: 200 }, async (_, i) => {
      const chunks = reading.read(`many ${i % 50}`, { signal: abort.signal })[Symbol.asyncIterator]();
      for (;;) texts.push(...(await take(chunks, 1)));
    });
    const looks = async (): Promise<void> => {
      const { pollQueries } = reading.stats();
      await waitFor(() => reading.stats().pollQueries >= pollQueries + 3, { description: 'some looks' });
    };
    await waiting(reading, 50);
    let { slicesRead } = reading.stats();
    for (await looks(); reading.stats().slicesRead > slicesRead; await looks()) slicesRead = reading.stats().slicesRead;
    await mute.append('many 7', 'x');
    await waitFor(() => texts.length === 4, { description: 'all readers of the stream to have it' });
    await looks();
    expect(reading.stats().slicesRead - slicesRead).toBe(1);
    abort.abort();
    await Promise.allSettled(reads);
    await reading.beforeApplicationShutdown();
    const { pollQueries } = reading.stats();
    expect(statements() - begun).toBe(pollQueries + slicesRead + 1);
    await pool.end();
  });
});

describe('with hints off', () => {
  it('delivers by the poll alone: no LISTEN, no NOTIFY, no wake-up in the process', async () => {
    const listening = await world.count(LISTENING);
    const streams = await world.service({ hints: 'off', schema: 'off' });
    expect(await world.count(LISTENING)).toBe(listening);
    const witness = await world.client();
    await witness.query('LISTEN "baton_pg_stream:off"');
    const heard: unknown[] = [];
    witness.on('notification', (message) => heard.push(message));
    const read = textsOf(streams.read('off'));
    await waiting(streams);
    for (const data of ['a', 'b']) await streams.append('off', data);
    await streams.closeStream('off');
    expect(await read).toEqual(['a', 'b']);
    await witness.query('SELECT 1');
    expect(heard).toEqual([]);
    expect(streams.stats()).toMatchObject({ listener: 'off', notificationsSent: 0, notificationsReceived: 0 });
    expect(await streams.health()).toEqual({ state: 'up', mode: 'polling' });
  });
});

describe('other notifications', () => {
  it('A13 O1 duplicate, reordered, forged and malformed ones change nothing but timing', async () => {
    const streams = await world.service();
    for (const data of ['0', '1', '2']) await streams.append('o1', data);
    const read = textsOf(streams.read('o1', { startIndex: 2 }));
    await waiting(streams);
    const forged = ['', '*', ':*', ':', '[', ':["x"]', ':[1]', 'x:["y"]', '🦆'.repeat(1_000), ':{"a":1}'];
    for (const payload of [...forged, ...forged])
      await world.sql(`SELECT pg_notify('baton_pg_stream:baton', $1)`, [payload]);
    await waitFor(() => streams.stats().notificationsReceived >= 20, { description: 'all to be heard' });
    await streams.append('o1', '3');
    await streams.closeStream('o1');
    expect(await read).toEqual(['2', '3']);
  });

  it('A44 services in two schemas of one database do not wake each other', async () => {
    const [mine, other] = [await world.service({ schema: 'Mine "x"' }), await world.service({ schema: 'other' })];
    await mine.append('s', 'mine');
    await waitFor(() => mine.stats().notificationsSent === 1, { description: 'the NOTIFY' });
    await waitFor(() => mine.stats().notificationsReceived === 1, { description: 'the echo' });
    expect(other.stats().notificationsReceived).toBe(0);
    await expect(other.info('s')).rejects.toMatchObject({ code: 'STREAM_NOT_FOUND' });
  });
});

describe('a LISTEN connection that is terminated', () => {
  const silent: PgStreamOptions = { schema: 'lost', pollInterval: 0 };
  const channel = '^LISTEN "baton_pg_stream:lost"';

  it('S2 S3 LR1 comes back as exactly one, after which notifications arrive again, and is gone after the end', async () => {
    const streams = await world.service(silent);
    const writing = await world.service({ ...silent, hints: 'on' });
    const read = textsOf(streams.read('lr1'));
    await waiting(streams);
    for (let round = 0; round < 3; round++) {
      expect(await world.terminate(channel)).toBe(2);
      await waitFor(() => streams.stats().reconnects > round && writing.stats().reconnects > round, {
        description: 'both to listen again',
      });
      expect(await world.count(channel)).toBe(2);
      await writing.append('lr1', `${round}`);
    }
    await writing.closeStream('lr1');
    expect(await read).toEqual(['0', '1', '2']);
    for (const service of [streams, writing]) {
      await service.beforeApplicationShutdown();
      await service.onApplicationShutdown();
    }
    await waitFor(async () => (await world.count(channel)) === 0, { description: 'LISTEN to be gone' });
  });

  it('A29 LR3 a reader receives chunks and EOF written while LISTEN was down, with the poll off', async () => {
    const streams = await world.service(silent);
    const mute = await world.service({ ...silent, notify: 'off' });
    const read = textsOf(streams.read('lr3'));
    await waiting(streams);
    const lost = new Promise<void>((resolve) => streams.on('listenerLost', () => resolve()));
    await world.terminate(channel);
    await lost;
    for (const data of ['a', 'b']) await mute.append('lr3', data);
    await mute.closeStream('lr3');
    expect(await read).toEqual(['a', 'b']);
  });

  it('is degraded meanwhile, and down where no poll does its work', async () => {
    for (const [pollInterval, expected] of [
      ['5s', 'degraded'],
      [0, 'down'],
    ] as const) {
      const streams = await world.service({ schema: 'lost', pollInterval });
      expect(await streams.health()).toEqual({ state: 'up', mode: 'listening' });
      const lost = new Promise<void>((resolve) => streams.on('listenerLost', () => resolve()));
      await world.terminate(channel);
      await lost;
      expect((await streams.health()).state).toBe(expected);
    }
  });

  it('loses nothing when it is terminated again and again under load', async () => {
    const reading = await world.service({ schema: 'lost', pollInterval: '5s' });
    const writing = await world.service({ schema: 'lost' });
    const reads = Array.from({ length: 10 }, (_, i) => textsOf(reading.read(`load ${i % 2}`)));
    let isWriting = true;
    const written = [0, 1].map(async (s) => {
      const writer = await writing.open(`load ${s}`, { producer: { id: 'p', epoch: 1 } });
      for (let i = 0; i < 300; i++) await writer.append(`${i}`);
      await writer.close();
    });
    const killed = (async () => {
      let kills = 0;
      while (isWriting) {
        kills += await world.terminate(channel);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return kills;
    })();
    await Promise.all(written);
    isWriting = false;
    expect(await killed).toBeGreaterThan(0);
    for (const texts of await Promise.all(reads)) expect(texts).toEqual(Array.from({ length: 300 }, (_, i) => `${i}`));
  });
});

describe('a first LISTEN that fails', () => {
  const unreachable = 'postgres://nobody:nothing@127.0.0.1:1/none';

  it('L4 rejects the start by default, with what to do', async () => {
    const starting = world.service({ listenConnectionString: unreachable });
    await expect(starting).rejects.toMatchObject({ code: 'STREAM_UNAVAILABLE', retryable: true });
    await expect(starting).rejects.toThrow(/listenConnectionString.*startup: 'degrade'/);
    await expect(starting).rejects.not.toThrow(/nothing@/);
  });

  it('starts on polling where that is wanted', async () => {
    const streams = await world.service({ listenConnectionString: unreachable, startup: 'degrade' });
    const mute = await world.service({ notify: 'off' });
    const read = textsOf(streams.read('degraded start'));
    await waiting(streams);
    await mute.closeStream('degraded start');
    expect(await read).toEqual([]);
    expect((await streams.health()).state).toBe('degraded');
  });
});
