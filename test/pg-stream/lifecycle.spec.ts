import { systemClock } from '@nest-baton/core';
import { PgStreamModule, PgStreamService, resolvePgStreamOptions } from '@nest-baton/pg-stream';
import { type FreshDatabase, freshDatabase, lifecycleContract, openGate } from '@nest-baton/testing';
import { Logger } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';
import pg from 'pg';
import { StreamPoller, type StreamPollerOptions } from '../../libs/pg-stream/src/waking/stream-poller.js';
import { ServerClock } from '../../libs/pg-stream/src/waking/server-clock.js';
import { WatchedStreams } from '../../libs/pg-stream/src/waking/watched-streams.js';

let database: FreshDatabase;
let admin: pg.Client;
let writer: PgStreamService;

beforeAll(async () => {
  Logger.overrideLogger(false);
  database = await freshDatabase();
  const options = resolvePgStreamOptions({ connectionString: database.url, hints: 'on', pollInterval: 0, poolSize: 1 });
  const first = new PgStreamService('first', options);
  await first.onModuleInit();
  await first.beforeApplicationShutdown();
  await first.onApplicationShutdown();
  // Never started: the probe of its LISTEN would set timers while others are looked at.
  writer = new PgStreamService('writer', options);
  // Its connection for writing is made with the first append.
  await writer.append('first', 'a chunk');
  admin = new pg.Client({ connectionString: database.url, application_name: 'lifecycle-admin' });
  await admin.connect();
});

afterAll(async () => {
  await writer.beforeApplicationShutdown();
  await writer.onApplicationShutdown();
  await admin.end();
  await database.drop();
});

/** Connections of what is under test; the writer's are its own. */
async function connections(): Promise<{ 'server connections': number }> {
  const { rows } = await admin.query(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
       AND backend_type = 'client backend'`,
  );
  return { 'server connections': rows.length };
}

/** Its pool is the test's, and keeps idle connections. */
const POLLER = { asks: ['work', 'notify', 'runOnce', 'hold', 'fail'], ignores: /pg-pool/ } as const;

let streams = 0;

/** The poll on a real table: the work is a stream that moves, and done when who waits for it is woken. */
async function poller() {
  const gate = openGate();
  const own = new pg.Pool({ connectionString: database.url, max: 2 });
  const watched = new WatchedStreams();
  let [woken, isNextBroken] = [0, false];
  const held = {
    query: async (text: string, values: unknown[]) => {
      if (isNextBroken) {
        isNextBroken = false;
        throw new Error('the look is broken');
      }
      const answer = await own.query(text, values);
      await gate.pass();
      return answer;
    },
  };
  const one = new StreamPoller({
    name: 'baton:pg-stream:lifecycle:poll',
    database: held as unknown as StreamPollerOptions['database'],
    schema: 'baton',
    watched,
    pollIntervalMs: 3_600_000,
    isListening: () => true,
    registry: undefined,
    onError: () => undefined,
    serverClock: new ServerClock(systemClock),
    metrics: { add: () => undefined, record: () => undefined } as unknown as StreamPollerOptions['metrics'],
  });
  const abort = new AbortController();
  const waitFor = (name: string): void => {
    const watch = watched.watch(name);
    void watch.changed(watch.revision, 0, abort.signal).then(() => {
      if (!abort.signal.aborted) woken++;
    });
  };
  // A look at nothing asks nothing, and so could neither be held nor fail.
  waitFor('never-moves');
  await own.query('SELECT 1');
  return {
    start: () => one.loop.start(),
    stop: () => one.loop.stop(),
    notify: () => one.loop.notify(),
    runOnce: () => one.loop.runOnce(),
    addWork: async () => {
      const name = `lifecycle-${++streams}`;
      waitFor(name);
      await writer.append(name, 'a chunk');
    },
    workDone: () => woken,
    failNextPass: () => void (isNextBroken = true),
    gate,
    dispose: async () => {
      abort.abort();
      await own.end();
    },
  };
}

describe('StreamPoller:', () => {
  it.each(lifecycleContract(poller, POLLER))('$title', ({ run }) => run());
});

function service(url: string, options = {}) {
  const one = new PgStreamService('lifecycle', resolvePgStreamOptions({ connectionString: url, ...options }));
  return {
    start: () => one.onModuleInit(),
    stop: async () => {
      await one.beforeApplicationShutdown();
      await one.onApplicationShutdown();
    },
    open: connections,
    one,
  };
}

describe('PgStreamService:', () => {
  it.each(lifecycleContract(() => service(database.url), { startAfterStop: 'refused' }))('$title', ({ run }) => run());
});

describe('PgStreamService that starts without LISTEN and goes on trying:', () => {
  const listenless = () =>
    service(database.url, { startup: 'degrade', listenConnectionString: 'postgres://127.0.0.1:1/nowhere' });
  it.each(lifecycleContract(listenless, { startAfterStop: 'refused' }))('$title', ({ run }) => run());
});

describe('PgStreamService with readers that wait:', () => {
  const reading = () => {
    const { one, ...subject } = service(database.url);
    const readers: Promise<unknown>[] = [];
    return {
      ...subject,
      start: async () => {
        await subject.start();
        const read = async () => {
          for await (const chunk of one.read('nobody-writes-this')) expect(chunk).toBeUndefined();
        };
        readers.push(read().catch((error: { code?: string }) => expect(error.code).toBe('SHUTTING_DOWN')));
      },
      stop: async () => {
        await subject.stop();
        await Promise.all(readers);
      },
    };
  };
  it.each(lifecycleContract(reading, { startAfterStop: 'refused' }))('$title', ({ run }) => run());
});

describe.each(['before', 'after'])('an application that imports TypeORM %s PgStreamModule:', (order) => {
  const application = async () => {
    const imports = [
      TypeOrmModule.forRoot({ type: 'postgres', url: database.url, retryAttempts: 0, poolSize: 2 }),
      PgStreamModule.forRoot({ connectionString: database.url }),
    ];
    if (order === 'after') imports.reverse();
    const app = await Test.createTestingModule({ imports }).compile();
    return { start: () => app.init(), stop: () => app.close(), open: connections };
  };
  it.each(lifecycleContract(application, { startAfterStop: 'refused' }))('$title', ({ run }) => run());
});
