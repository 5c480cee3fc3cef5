import { startPgbouncer } from '@nest-baton/testing';
import { StreamsWorld, textsOf } from './support/streams-world.js';

describe('a pooler that gives each statement another connection', () => {
  it('lets appends through, although it knows no prepared statements', async () => {
    const world = await StreamsWorld.create();
    const pooler = await startPgbouncer({
      databaseUrl: world.url,
      poolMode: 'transaction',
    });
    try {
      const streams = await world.service({ connectionString: pooler.url, hints: 'off' });
      const other = await world.service({ connectionString: pooler.url, hints: 'off' });
      for (let i = 0; i < 20; i++)
        await Promise.all([streams, other].flatMap((one) => [one.append('pooled', `${i}`), one.append('too', `${i}`)]));
      expect(await textsOf(streams.read('pooled', { live: false }))).toHaveLength(40);
      expect(await textsOf(streams.read('too', { live: false }))).toHaveLength(40);
    } finally {
      await world.stop();
      await pooler.stop();
    }
  }, 30_000);
});
