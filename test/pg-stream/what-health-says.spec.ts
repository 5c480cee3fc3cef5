import { PgListenHealthIndicator } from '@nest-baton/pg-stream/health';
import { waitFor } from '@nest-baton/testing';
import { HealthIndicatorService, TerminusModule } from '@nestjs/terminus';
import { Test } from '@nestjs/testing';
import { StreamsWorld } from './support/streams-world.js';

describe('what health says', () => {
  let world: StreamsWorld;

  beforeEach(async () => (world = await StreamsWorld.create()));
  afterEach(() => world.stop());

  /** A service without hints, one reader of which waits; `leave` ends that. */
  async function waitingForever() {
    const streams = await world.service({ hints: 'off' });
    await streams.open('quiet');
    const abort = new AbortController();
    const next = streams.read('quiet', { signal: abort.signal })[Symbol.asyncIterator]().next();
    const left = next.catch(() => undefined);
    await waitFor(() => streams.stats().waitingStreams === 1, { description: 'the reader to wait' });
    const leave = async (): Promise<void> => {
      abort.abort();
      await left;
    };
    return { streams, leave };
  }

  it('is up while a look is under way, however long that takes', async () => {
    const { streams, leave } = await waitingForever();
    const holder = await world.client();
    await holder.query('BEGIN; LOCK TABLE baton.streams IN ACCESS EXCLUSIVE MODE');
    const waits = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
    await waitFor(async () => (await world.sql(waits)).length === 1, { description: 'a look to wait for the table' });
    expect(await streams.health()).toEqual({ state: 'up', mode: 'polling' });
    await holder.query('COMMIT');
    await leave();
  });

  it('is down while looks fail, and up again once the table is back, although nobody waits any more', async () => {
    const { streams, leave } = await waitingForever();
    const failed = new Promise<void>((resolve) => streams.on('pollFailed', () => resolve()));
    await world.sql('ALTER VIEW baton.stream_heads RENAME TO elsewhere');
    await failed;
    expect(await streams.health()).toMatchObject({ state: 'down', reason: 'nothing_wakes' });
    await leave();
    await world.sql('ALTER VIEW baton.elsewhere RENAME TO stream_heads');
    await waitFor(async () => (await streams.health()).state === 'up', { description: 'health is up' });
  });

  it('is down, and does not throw, after the application has closed', async () => {
    const streams = await world.service();
    await streams.beforeApplicationShutdown();
    await streams.onApplicationShutdown();
    expect(await streams.health()).toEqual({
      state: 'down',
      reason: 'closed',
      message: 'the application has shut down',
    });
  });
});

describe('the health indicator', () => {
  it('says the same to a Terminus that knows no degraded', async () => {
    const module = await Test.createTestingModule({ imports: [TerminusModule] }).compile();
    const real = module.get(HealthIndicatorService, { strict: false });
    const withoutDegraded = { check: (key: string) => Object.assign(real.check(key), { degraded: undefined }) };
    const shown = { mode: 'polling', reason: 'listener_lost', message: 'LISTEN was lost' };
    const service = { get: () => ({ health: () => Promise.resolve({ state: 'degraded', ...shown }) }) };
    const older = new PgListenHealthIndicator(withoutDegraded as never, service as never);
    expect(await older.isHealthy()).toEqual({ 'pg-listen': { status: 'up', degraded: true, ...shown } });
    await module.close();
  });
});
