import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { jest } from '@jest/globals';
import { describeError } from '@nest-baton/core';
import {
  InjectPgStream,
  PG_STREAM_METRICS,
  PgStreamModule,
  PgStreamService,
  type PgPoolLike,
  type PgStreamOptions,
} from '@nest-baton/pg-stream';
import { waitFor } from '@nest-baton/testing';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import pg from 'pg';
import { CollectedMetrics } from '../support/collected-metrics.js';
import { metricRows, plainRows } from '../support/documented-metrics.js';
import { StreamsWorld, take, textsOf } from './support/streams-world.js';

let world: StreamsWorld;
let collected: CollectedMetrics;
const seen = new Set<string>();

beforeAll(async () => {
  collected = CollectedMetrics.register();
  world = await StreamsWorld.create();
});
afterAll(async () => {
  await world.stop();
  await collected.unregister();
});

/** What an instance has counted. */
const total = (name: keyof typeof PG_STREAM_METRICS.instruments, instance: string) => {
  seen.add(name);
  return collected.total(`baton.pg_stream.${name}`, instance);
};

/** The sum of what a histogram has recorded. */
const seconds = (name: keyof typeof PG_STREAM_METRICS.instruments, instance: string) =>
  collected.sum(`baton.pg_stream.${name}`, instance);

/** What a gauge shows now. */
const shown = async (name: keyof typeof PG_STREAM_METRICS.instruments, instance: string) => {
  seen.add(name);
  return (await collected.latest()).get(`baton.pg_stream.${name}`)?.[instance];
};

const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => 'stored',
    (error: { code?: string }) => error.code,
  );

describe('what is written', () => {
  it('counts every append once, by what became of it', async () => {
    const streams = await world.service({ maxChunkBytes: 100, lockTimeout: '50ms' }, 'writing');
    const writer = await streams.open('w', { producer: { id: 'p', epoch: 2 } });
    await Promise.all([writer.append('a'), writer.append('b')]);
    await streams.append('w', 'c');
    await streams.append('w', 'b', { producer: { id: 'p', epoch: 2, seq: 1 } });
    const refused = [
      streams.append('w', 'x', { producer: { id: 'p', epoch: 1, seq: 0 } }),
      streams.append('w', 'x', { producer: { id: 'p', epoch: 2, seq: 9 } }),
      streams.append('w', 'x'.repeat(101)),
      writer.append('x'.repeat(101)),
      streams.append('', 'x'),
    ];
    expect(await Promise.all(refused.map(codeOf))).toEqual([
      'PRODUCER_FENCED',
      'PRODUCER_SEQ_GAP',
      'CHUNK_TOO_LARGE',
      'CHUNK_TOO_LARGE',
      'STREAM_NAME_INVALID',
    ]);
    const client = await world.client();
    expect(await codeOf(streams.append('w', 'x', { expectedIndex: 0 }))).toBe('EXPECTED_INDEX_MISMATCH');
    await client.query('BEGIN');
    await client.query(`SELECT FROM baton.streams WHERE name = 'w' FOR UPDATE`);
    expect(await codeOf(streams.append('w', 'x'))).toBe('STREAM_BUSY');
    await streams.append('w', 'd', { transaction: client });
    await streams.closeStream('w', { status: 'error', transaction: client });
    await client.query('COMMIT');
    await streams.closeStream('other', { status: 'aborted' });
    expect(await codeOf(writer.append('late'))).toBe('STREAM_CLOSED');
    await expect(writer.close()).rejects.toMatchObject({ code: 'STREAM_CLOSED' });

    expect(await total('appends', 'writing')).toEqual({
      stored: 3,
      in_transaction: 1,
      duplicate: 1,
      fenced: 1,
      gap: 1,
      misplaced: 1,
      busy: 1,
      refused: 3,
      closed: 1,
    });
    expect(await total('append.duration', 'writing')).toEqual({ '': 4 });
    expect(await total('append.size', 'writing')).toEqual({ '': 4 });
    const flushes = (await total('flush.calls', 'writing'))[''];
    expect(flushes).toBeGreaterThan(0);
    expect(await total('flush.duration', 'writing')).toEqual({ '': flushes });
    expect(await total('opens', 'writing')).toEqual({ '': 1 });
    expect(await total('closes', 'writing')).toEqual({ error: 1, aborted: 1 });
  });

  it('tells an append whose answer was lost from one that Postgres never saw', async () => {
    const own = new pg.Pool({ connectionString: world.url });
    own.on('error', () => undefined);
    let isRefusing = false;
    // A pool that does not show its options lends its connections for writing, too.
    const pool = {
      connect: () => (isRefusing ? Promise.reject(new Error('no connection for you')) : own.connect()),
    } as PgPoolLike;
    const streams = await world.service({ pool, listenConnectionString: world.url }, 'losing');
    await streams.append('l', 'a');
    const client = await world.client();
    await client.query('BEGIN');
    await client.query(`SELECT FROM baton.streams WHERE name = 'l' FOR UPDATE`);
    const cut = codeOf(streams.append('l', 'b'));
    const cutOff = () =>
      world.sql(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND query ~ 'stream_write' AND wait_event_type = 'Lock'`,
      );
    await waitFor(async () => (await cutOff()).length > 0, { description: 'the append to wait for the lock' });
    expect(await cut).toBe('APPEND_UNKNOWN');
    expect(await shown('pending.bytes', 'losing')).toBe(0);
    expect(await total('flush.held', 'losing')).toEqual({ '': 1 });
    await client.query('ROLLBACK');
    isRefusing = true;
    expect(await codeOf(streams.append('l', 'c'))).toBe('STREAM_UNAVAILABLE');
    isRefusing = false;
    expect(await total('appends', 'losing')).toEqual({ stored: 1, unknown: 1, unavailable: 1 });
    expect(await total('connections.lost', 'losing')).toMatchObject({ in_use: 1, connecting: 1 });
  });
});

describe('what is read', () => {
  it('counts chunks, queries, and why each reader ended', async () => {
    const streams = await world.service({}, 'reading');
    for (const text of ['a', 'b', 'c']) await streams.append('r', text);
    expect(await textsOf(streams.read('r', { live: false }))).toEqual(['a', 'b', 'c']);
    for await (const _chunk of streams.read('r')) break;
    const abort = new AbortController();
    const waiting = streams.read('r', { startIndex: 3, signal: abort.signal })[Symbol.asyncIterator]();
    const next = codeOf(waiting.next());
    await waitFor(() => streams.stats().waitingStreams === 1, { description: 'the reader to wait' });
    expect(await shown('readers.active', 'reading')).toBe(1);
    expect(await shown('streams.watched', 'reading')).toBe(1);
    expect(await shown('streams.waiting', 'reading')).toBe(1);
    abort.abort();
    await next;
    await expect(textsOf(streams.read('none', { live: false }))).rejects.toMatchObject({ code: 'STREAM_NOT_FOUND' });
    await streams.closeStream('r');
    expect(await textsOf(streams.read('r', { startIndex: 1 }))).toEqual(['b', 'c']);
    const kept = streams.read('open')[Symbol.asyncIterator]();
    const ended = codeOf(kept.next());
    await waitFor(() => streams.stats().waitingStreams === 1, { description: 'the last reader to wait' });
    await streams.beforeApplicationShutdown();
    expect(await ended).toBe('SHUTTING_DOWN');

    expect(await total('readers.ended', 'reading')).toEqual({
      tail: 1,
      left: 2,
      failed: 1,
      end_of_stream: 1,
      shutdown: 1,
    });
    expect(await total('chunks.read', 'reading')).toEqual({ '': 6 });
    expect((await total('slice.duration', 'reading'))['']).toBe(streams.stats().slicesRead);
    expect(await shown('readers.active', 'reading')).toBe(0);
  });

  it('shows the responses that follow a stream, and a client that leaves as such', async () => {
    const streams = await world.service({}, 'serving');
    const server = createServer((_, response) => void streams.sse(response, 's').catch(() => undefined));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const abort = new AbortController();
    await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`, { signal: abort.signal });
    expect(await shown('sse.responses', 'serving')).toBe(1);
    abort.abort();
    await waitFor(() => streams.stats().sseResponses === 0, { description: 'the response to end' });
    expect(await shown('sse.responses', 'serving')).toBe(0);
    expect(await total('readers.ended', 'serving')).toEqual({ left: 1 });
    await new Promise((resolve) => server.close(resolve));
  });
});

describe('how readers are woken', () => {
  it('counts what is told from process to process', async () => {
    const [from, to] = [await world.service({ hints: 'on' }, 'telling'), await world.service({ hints: 'on' }, 'told')];
    const chunks = to.read('n')[Symbol.asyncIterator]();
    const first = take(chunks, 1);
    await from.append('n', 'a');
    expect(await first).toEqual(['a']);
    await waitFor(async () => (await total('notifications.received', 'told'))[''] !== undefined, {
      description: 'the NOTIFY to be heard',
    });
    // It may be heard before its sender has the answer.
    await waitFor(() => from.stats().notificationsSent > 0, { description: 'the NOTIFY to be answered' });
    expect((await total('notifications.sent', 'telling'))['']).toBe(from.stats().notificationsSent);
    expect((await total('notifications.received', 'told'))['']).toBe(to.stats().notificationsReceived);
    expect(await shown('listener.up', 'told')).toBe(1);
    expect((await total('listener.echo.duration', 'told'))['']).toBeGreaterThan(0);
    await chunks.return?.();
  });

  it.each<[string, PgStreamOptions]>([
    ['in-process', {}],
    ['by-notify', { hints: 'on' }],
    ['by-poll', { hints: 'off', pollInterval: '50ms' }],
  ])('counts once a wake how late a chunk was, whatever the clock here says: %s', async (how, options) => {
    const reading = await world.service({ hints: 'on', ...options }, `late-${how}`);
    const writing = how === 'in-process' ? reading : await world.service({ hints: 'on' }, 'writing-late');
    const { now } = Date;
    const clock = jest.spyOn(Date, 'now').mockImplementation(() => now() + 3_600_000);
    try {
      const chunks = reading.read(`late-${how}`)[Symbol.asyncIterator]();
      for (let i = 0; i < 3; i++) {
        const next = take(chunks, 1);
        await waitFor(() => reading.stats().waitingStreams === 1, { description: 'the reader to wait' });
        await writing.append(`late-${how}`, `${i}`);
        expect(await next).toEqual([`${i}`]);
      }
      if (writing === reading) {
        // Nobody is woken for what is there already when he asks.
        await writing.append(`late-${how}`, 'not waited for');
        expect(await take(chunks, 1)).toHaveLength(1);
      }
      await chunks.return?.();
    } finally {
      clock.mockRestore();
    }
    expect(await total('delivery.lag', `late-${how}`)).toEqual({ '': 3 });
    expect(await seconds('delivery.lag', `late-${how}`)).toBeLessThan(3);
  });

  it('counts losses of LISTEN, and its return', async () => {
    const streams = await world.service({ hints: 'on', schema: 'cut' }, 'cut');
    const isBack = new Promise<void>((resolve) => {
      streams.on('listening', () => resolve());
    });
    await world.terminate('^LISTEN "baton_pg_stream:cut"');
    await isBack;
    expect(await total('listener.losses', 'cut')).toEqual({ '': 1 });
    expect(await total('listener.reconnects', 'cut')).toEqual({ '': 1 });
    expect(await shown('listener.up', 'cut')).toBe(1);
  });

  it('shows a LISTEN that cannot be had as 0, and one that is not wanted not at all', async () => {
    const listenConnectionString = 'postgres://me@127.0.0.1:1/none';
    const deaf = await world.service({ hints: 'on', startup: 'degrade', listenConnectionString }, 'deaf');
    await waitFor(async () => ((await total('listener.losses', 'deaf'))[''] ?? 0) > 0, { description: 'a loss' });
    expect(deaf.stats().listener).toBe('connecting');
    await world.service({ hints: 'off' }, 'unhinted');
    expect(await shown('listener.up', 'deaf')).toBe(0);
    expect(await shown('listener.up', 'unhinted')).toBeUndefined();
    expect(await shown('readers.active', 'unhinted')).toBe(0);
  });

  it('counts a NOTIFY that Postgres refuses, and the append as stored', async () => {
    await world.sql('CREATE SCHEMA mute');
    await world.sql(
      `CREATE FUNCTION mute.pg_notify(text, text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$`,
    );
    const streams = await world.service(
      {
        hints: 'on',
        startup: 'degrade',
        connectionString: `${world.url}?options=-c%20search_path%3Dmute%2Cpg_catalog`,
      },
      'mute',
    );
    await streams.append('m', 'a');
    await waitFor(async () => (await total('notifications.failed', 'mute'))[''] === 1, { description: 'the refusal' });
    expect(await total('appends', 'mute')).toEqual({ stored: 1 });
    expect(await total('notifications.sent', 'mute')).toEqual({});
  });

  it('counts looks, what they find, and those that fail', async () => {
    const streams = await world.service({ hints: 'off', schema: 'looked', pollInterval: '50ms' }, 'looking');
    const chunks = streams.read('p')[Symbol.asyncIterator]();
    const first = take(chunks, 1);
    await waitFor(() => streams.stats().pollQueries > 0, { description: 'a look' });
    await streams.append('p', 'a');
    expect(await first).toEqual(['a']);
    expect(await total('streams.woken', 'looking')).toEqual({ poll: 1 });
    expect((await total('poll.duration', 'looking'))['']).toBe(streams.stats().pollQueries);
    expect(await total('poll.failures', 'looking')).toEqual({});
    const second = chunks.next().catch(describeError);
    await waitFor(() => streams.stats().waitingStreams === 1, { description: 'the reader to wait' });
    await world.sql('DROP SCHEMA looked CASCADE');
    await waitFor(async () => ((await total('poll.failures', 'looking'))[''] ?? 0) > 0, { description: 'a failure' });
    await streams.beforeApplicationShutdown();
    await second;
  });
});

describe('what is kept no longer', () => {
  it('counts the chunks that were removed, the streams that expired, and passes that failed', async () => {
    const retention = { closedFor: '1h', maxAge: '1h' } as const;
    const streams = await world.service({ schema: 'kept', sweepInterval: '100ms', retention }, 'keeping');
    await streams.appendMany('k', ['a', 'b', 'c']);
    await streams.trim('k', { before: 2 });
    await streams.open('silent', { writerLease: '1s' });
    await waitFor(async () => (await total('sweep.aborted', 'keeping'))[''] === 1, {
      description: 'the end of a lease',
    });
    await waitFor(async () => (await total('sweep.removed', 'keeping'))[''] === 2, { description: 'the removal' });
    await streams.append('old', 'x');
    await streams.closeStream('old');
    await world.sql(`UPDATE kept.streams SET closed_at = closed_at - interval '1 day' WHERE name = 'old'`);
    await world.sql(`UPDATE kept.stream_chunks SET created_at = created_at - interval '1 day' WHERE index = 2`);
    const expired = () => total('sweep.expired', 'keeping');
    await waitFor(async () => (await expired())['deleted'] === 1 && (await expired())['trimmed'] === 1, {
      description: 'retention',
    });
    expect(await total('sweep.failures', 'keeping')).toEqual({});
    await world.sql('DROP SCHEMA kept CASCADE');
    await waitFor(async () => ((await total('sweep.failures', 'keeping'))[''] ?? 0) > 0, { description: 'a failure' });
  });
});

describe('metrics in an application', () => {
  @Injectable()
  class TwoStreams {
    constructor(
      @InjectPgStream() readonly main: PgStreamService,
      @InjectPgStream('second') readonly second: PgStreamService,
    ) {}
  }

  @Module({
    imports: [
      PgStreamModule.forRootAsync({ useFactory: () => ({ connectionString: world.url }) }),
      PgStreamModule.forRootAsync({ name: 'second', useFactory: () => ({ connectionString: world.url }) }),
    ],
    providers: [TwoStreams],
  })
  class AppModule {}

  it('carry the name of their instance, and are not asked for after close()', async () => {
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
    const { main, second } = app.get(TwoStreams);
    const before = await total('appends', 'default');
    await main.append('two', 'a');
    for (const text of ['b', 'c']) await second.append('two', text);
    expect((await total('appends', 'default'))['stored']).toBe((before['stored'] ?? 0) + 1);
    expect(await total('appends', 'second')).toEqual({ stored: 2 });
    const reads = [jest.spyOn(main, 'stats'), jest.spyOn(second, 'stats')];
    expect(await shown('readers.active', 'second')).toBe(0);
    for (const read of reads) {
      expect(read).toHaveBeenCalled();
      read.mockClear();
    }

    await app.close();
    const instances = [...(await collected.latest()).values()].flatMap((points) => Object.keys(points));
    expect(instances).toContain('reading');
    expect(instances).not.toContain('second');
    for (const read of reads) expect(read).not.toHaveBeenCalled();
  });

  it('are not needed: without an SDK everything works, and one that is registered later sees nothing', async () => {
    await collected.unregister();
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
    collected = CollectedMetrics.register();
    const { main } = app.get(TwoStreams);
    await main.append('alone', 'a');
    await main.closeStream('alone');
    expect(await textsOf(main.read('alone'))).toEqual(['a']);
    expect(await collected.latest()).toEqual(new Map());
    await app.close();
  });

  it('are in the README, each with a row', () => {
    expect(plainRows('libs/pg-stream')).toEqual(expect.arrayContaining(metricRows(PG_STREAM_METRICS)));
  });

  it('have all been seen to move above', () => {
    expect([...seen].toSorted()).toEqual(Object.keys(PG_STREAM_METRICS.instruments).toSorted());
  });
});
