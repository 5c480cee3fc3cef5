import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import { getPgStreamToken, InjectPgStream, PgStreamModule, PgStreamService } from '@nest-baton/pg-stream';
import { PgListenHealthIndicator, PgStreamHealthModule } from '@nest-baton/pg-stream/health';
import { waitFor } from '@nest-baton/testing';
import pg from 'pg';
import { StreamsWorld, textsOf } from './support/streams-world.js';

let world: StreamsWorld;
beforeAll(async () => void (world = await StreamsWorld.create()));
afterAll(() => world.stop());

@Injectable()
class TwoStreams {
  constructor(
    @InjectPgStream() readonly main: PgStreamService,
    @InjectPgStream('second') readonly second: PgStreamService,
  ) {}
}

describe('PgStreamModule', () => {
  it('gives two instances, polls in the schedule, and leaves no connection behind', async () => {
    const pool = new pg.Pool({ connectionString: world.url });
    @Module({
      imports: [
        ScheduleModule.forRoot(),
        PgStreamModule.forRoot({ connectionString: world.url }),
        PgStreamModule.forRootAsync({ name: 'second', useFactory: () => ({ pool, schema: 'second' }) }),
        PgStreamHealthModule,
      ],
      providers: [TwoStreams],
    })
    class AppModule {}
    const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
    const { main, second } = app.get(TwoStreams);
    expect(app.get(PgStreamService)).toBe(main);
    expect(app.get(getPgStreamToken())).toBe(main);
    expect(app.get(getPgStreamToken('second'))).toBe(second);
    await main.append('s', 'main');
    await second.append('s', 'second');
    for (const streams of [main, second]) await streams.closeStream('s');
    expect([await textsOf(main.read('s')), await textsOf(second.read('s'))]).toEqual([['main'], ['second']]);
    await waitFor(() => app.get(SchedulerRegistry).getTimeouts().length === 4, {
      description: 'both loops of both to wait',
    });
    expect(app.get(SchedulerRegistry).getTimeouts().sort()).toEqual([
      'baton:pg-stream:default:poll',
      'baton:pg-stream:default:sweep',
      'baton:pg-stream:second:poll',
      'baton:pg-stream:second:sweep',
    ]);

    const indicator = app.get(PgListenHealthIndicator);
    expect(await indicator.isHealthy('pg-listen')).toEqual({ 'pg-listen': { status: 'up', mode: 'listening' } });
    const lost = new Promise<void>((resolve) => second.on('listenerLost', () => resolve()));
    await world.terminate('^LISTEN "baton_pg_stream:second"');
    await lost;
    expect(await indicator.isHealthy('x', { name: 'second' })).toEqual({
      x: { status: 'degraded', mode: 'polling', reason: 'listener_lost', message: expect.stringContaining('LISTEN') },
    });

    await app.close();
    expect(pool.totalCount).toBeGreaterThan(0);
    expect((await pool.query('SELECT 1')).rows).toHaveLength(1);
    await pool.end();
    await waitFor(async () => (await world.count('.')) === 0, { description: 'all connections to be closed' });
    expect(await indicator.isHealthy()).toMatchObject({ 'pg-listen': { status: 'down', reason: 'closed' } });
  });

  it('creates the schema once when five processes start together, and verifies it afterwards', async () => {
    await expect(world.service({ schema: 'five', migrations: 'verify' })).rejects.toMatchObject({
      code: 'MIGRATIONS_PENDING',
    });
    await Promise.all(Array.from({ length: 5 }, () => world.service({ schema: 'five' })));
    expect(await world.sql('SELECT name FROM five.pg_stream_migrations')).toEqual([
      { name: '0001-streams' },
      { name: '0002-durable-streams' },
    ]);
    await world.service({ schema: 'five', migrations: 'verify' });
  });

  it('says what to do when Postgres cannot be reached, and nothing of the password', async () => {
    const starting = world.service({ connectionString: 'postgres://me:swordfish@127.0.0.1:1/none' });
    await expect(starting).rejects.toMatchObject({ code: 'STREAM_UNAVAILABLE' });
    await expect(starting).rejects.toThrow(/ECONNREFUSED.*BATON_PG_STREAM_CONNECTION_STRING/);
    await expect(starting).rejects.not.toThrow(/swordfish/);
  });
});
