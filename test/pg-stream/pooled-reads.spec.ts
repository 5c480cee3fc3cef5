import { startPgbouncer } from '@nest-baton/testing';
import pg from 'pg';
import { StreamsWorld, textsOf } from './support/streams-world.js';

const texts = Array.from({ length: 300 }, (_, i) => `${i}`);

describe('pages of chunks, whose statement is prepared', () => {
  let world: StreamsWorld;
  beforeEach(async () => void (world = await StreamsWorld.create()));

  it('are read behind a transaction pooler, which gives each statement another connection', async () => {
    const pooler = await startPgbouncer({ databaseUrl: world.url, poolMode: 'transaction' });
    try {
      const streams = await world.service({ connectionString: pooler.url, hints: 'off' });
      const other = await world.service({ connectionString: pooler.url, hints: 'off' });
      for (let s = 0; s < 4; s++) await streams.appendMany(`pooled ${s}`, texts);
      for (let round = 0; round < 3; round++) {
        const reads = Array.from({ length: 20 }, (_, i) =>
          textsOf((i % 2 === 0 ? streams : other).read(`pooled ${i % 4}`, { live: false })),
        );
        for (const read of await Promise.all(reads)) expect(read).toEqual(texts);
      }
    } finally {
      await world.stop();
      await pooler.stop();
    }
  }, 30_000);

  it('are read by two instances that share a pool and have schemas of their own', async () => {
    const pool = new pg.Pool({ connectionString: world.url, max: 2 });
    const instances = [await world.service({ pool, schema: 'one' }), await world.service({ pool, schema: 'two' })];
    for (const [nth, streams] of instances.entries()) await streams.appendMany('s', [`of ${nth}`]);
    for (let round = 0; round < 5; round++)
      for (const [nth, streams] of instances.entries())
        expect(await textsOf(streams.read('s', { live: false }))).toEqual([`of ${nth}`]);
    await pool.end();
    await world.stop();
  });
});
