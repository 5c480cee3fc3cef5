import { hash } from 'node:crypto';
import { type PerformanceEntry, PerformanceObserver } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import type { PgStreamService } from '@nest-baton/pg-stream';
import { waitFor } from '@nest-baton/testing';
import type pg from 'pg';
import { StreamsWorld, take, textsOf } from './support/streams-world.js';

const READERS = 2_000;

let world: StreamsWorld;
let streams: PgStreamService;
beforeAll(async () => {
  world = await StreamsWorld.create();
  streams = await world.service({ pollInterval: '100ms' });
});
afterAll(() => world.stop());

describe('many readers of one stream', () => {
  it('begin with a handful of queries, and cost one query a wake and stream', async () => {
    await streams.append('crowd', '0');
    const before = streams.stats().slicesRead;
    const readers = Array.from({ length: READERS }, () => streams.read('crowd')[Symbol.asyncIterator]());
    await Promise.all(readers.map((reader) => take(reader, 1)));
    expect(streams.stats().slicesRead - before).toBeLessThanOrEqual(9);
    for (let i = 1; i <= 5; i++) {
      const texts = readers.map((reader) => take(reader, 1));
      await waitFor(() => streams.stats().waitingStreams === 1, { description: 'the readers to wait' });
      const { slicesRead } = streams.stats();
      await streams.append('crowd', `${i}`);
      expect(await Promise.all(texts)).toEqual(readers.map(() => [`${i}`]));
      expect(streams.stats().slicesRead - slicesRead).toBeLessThanOrEqual(1);
    }
    await Promise.all(readers.map((reader) => reader.return!()));
  });

  it('each own the bytes they are given', async () => {
    await streams.append('own', 'same');
    await streams.closeStream('own');
    const spoil = async () => {
      const texts: string[] = [];
      for await (const { data } of streams.read('own')) {
        texts.push(Buffer.from(data).toString());
        data.fill(0);
      }
      return texts;
    };
    const all = await Promise.all(Array.from({ length: 100 }, spoil));
    expect(all).toEqual(all.map(() => ['same']));
  });

  it('see what was committed before they began, however many queries are under way', async () => {
    for (let i = 0; i < 50; i++) {
      const others = Array.from({ length: 20 }, () =>
        textsOf(streams.read('fresh', { live: false, ifMissing: 'wait' })),
      );
      await streams.append('fresh', `${i}`);
      expect(await textsOf(streams.read('fresh', { live: false }))).toHaveLength(i + 1);
      await Promise.all(others);
    }
  });
});

/**
 * The longest time, in milliseconds, for which this process was busy between two turns of the event loop. Neither what other processes take of the machine
 * is in it nor what the garbage collector takes, which goes by everything that the test run has loaded so far.
 */
function longestTurn(): () => Promise<number> {
  const turns: { from: number; to: number; cpuMs: number }[] = [];
  const collections: PerformanceEntry[] = [];
  const collector = new PerformanceObserver((list) => void collections.push(...list.getEntries()));
  collector.observe({ entryTypes: ['gc'] });
  let cpu = process.cpuUsage();
  let from = performance.now();
  const timer = setInterval(() => {
    const { user, system } = process.cpuUsage(cpu);
    const to = performance.now();
    turns.push({ from, to, cpuMs: (user + system) / 1_000 });
    [cpu, from] = [process.cpuUsage(), to];
  }, 5).unref();
  return async () => {
    clearInterval(timer);
    // A collection is told a turn after it was made.
    await setTimeout(20);
    collector.disconnect();
    const longest = turns.map(({ from, to, cpuMs }) => {
      const collectingMs = collections.reduce(
        (sum, { startTime, duration }) =>
          sum + Math.max(0, Math.min(to, startTime + duration) - Math.max(from, startTime)),
        0,
      );
      // The collector works in several threads at a time.
      return Math.min(cpuMs, to - from) - collectingMs;
    });
    return Math.max(...longest);
  };
}

/** Notifications of others on the channel, a hundred in a burst: a third names everything, one a stream that has readers, the rest streams that nobody has. */
class Storm {
  bursts = 0;
  private isOver = false;
  private readonly raging: Promise<void>;

  constructor(
    private readonly client: pg.Client,
    private readonly channel: string,
    private readonly stream: string,
  ) {
    this.raging = this.rage();
  }

  async end(): Promise<void> {
    this.isOver = true;
    await this.raging;
  }

  private async rage(): Promise<void> {
    const topic = hash('sha256', this.stream, 'base64url').slice(0, 16);
    while (!this.isOver) {
      this.bursts++;
      const payloads = Array.from({ length: 99 }, (_, i) =>
        i % 3 === 0 ? `forged ${this.bursts} ${i}:*` : `forged:["${this.bursts} ${i}"]`,
      );
      payloads.push(`forged ${this.bursts}:["${topic}"]`);
      await this.client.query('SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload', [
        this.channel,
        payloads,
      ]);
    }
  }
}

describe('thousands of streams under a storm of notifications and an old snapshot', () => {
  const STREAMS = 2_000;

  it('13 deliver everything in order, with one query a wake, looks one at a time and an event loop that turns', async () => {
    const own = await StreamsWorld.create();
    let storm: Storm | undefined;
    try {
      const reading = await own.service({ hints: 'on', sweepInterval: 0 });
      const writing = await own.service({ hints: 'on', sweepInterval: 0 });
      await own.sql('SELECT 1');
      const old = await own.client();
      await old.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
      await old.query('SELECT count(*) FROM baton.streams');

      const names = Array.from({ length: STREAMS }, (_, i) => `stream ${i}`);
      const turns = longestTurn();
      const texts = names.map((name) => textsOf(reading.read(name)));
      await waitFor(() => reading.stats().waitingStreams === STREAMS, { description: 'the readers to wait' });

      const before = reading.stats();
      storm = new Storm(await own.client(), 'baton_pg_stream:baton', names[0]!);
      await waitFor(() => reading.stats().notificationsReceived >= before.notificationsReceived + 3_000, {
        description: 'the storm',
      });
      const still = reading.stats();
      expect(still.slicesRead - before.slicesRead).toBeLessThanOrEqual(storm.bursts);
      expect(still.pollQueries - before.pollQueries).toBeLessThanOrEqual(2 * storm.bursts + 2);

      await Promise.all(names.map((name) => writing.appendMany(name, ['0', '1'])));
      await Promise.all(
        names.map(async (name) => {
          await writing.append(name, '2');
          await writing.closeStream(name);
        }),
      );
      expect(await Promise.all(texts)).toEqual(names.map(() => ['0', '1', '2']));
      await storm.end();
      const after = reading.stats();
      // Three commits a stream; each is told by a notification, and may be found by a look besides.
      expect(after.slicesRead - still.slicesRead).toBeLessThanOrEqual(2 * 3 * STREAMS + storm.bursts);
      expect(after.pollQueries - still.pollQueries).toBeLessThanOrEqual(2 * storm.bursts + 2);
      expect(await turns()).toBeLessThan(500);
      expect(after).toMatchObject({ readers: 0, watchedStreams: 0, waitingStreams: 0 });
      expect((await old.query('SELECT FROM baton.streams')).rows).toHaveLength(0);
      expect(await own.sql('SELECT FROM baton.streams')).toHaveLength(STREAMS);
    } finally {
      await storm?.end();
      await own.stop();
    }
  });
});
