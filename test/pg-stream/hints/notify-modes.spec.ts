import { waitFor } from '@nest-baton/testing';
import { StreamsWorld, textsOf } from '../support/streams-world.js';

let world: StreamsWorld;
beforeAll(async () => void (world = await StreamsWorld.create()));
afterAll(() => world.stop());

describe('how others are told of appends', () => {
  it.each(['coalesced', 'transactional'] as const)(
    '%s: wakes the readers of another process at once',
    async (notify) => {
      const reading = await world.service({ hints: 'on', pollInterval: 0 });
      const writing = await world.service({ hints: 'on', notify });
      const read = textsOf(reading.read(notify));
      for (const data of ['a', 'b', 'c']) await writing.append(notify, data);
      const client = await world.client();
      await client.query('BEGIN');
      await writing.append(notify, 'd', { transaction: client });
      await client.query('COMMIT');
      await writing.closeStream(notify);
      expect(await read).toEqual(['a', 'b', 'c', 'd']);
      expect(writing.stats().notificationsSent).toBeGreaterThan(0);
    },
  );

  it('transactional: tells nobody of what is rolled back', async () => {
    const reading = await world.service({ hints: 'on', pollInterval: 0, schema: 'rolled' });
    const writing = await world.service({ hints: 'on', notify: 'transactional', schema: 'rolled' });
    await writing.open('r');
    await waitFor(() => reading.stats().listener === 'listening', { description: 'LISTEN' });
    const client = await world.client();
    await client.query('BEGIN');
    await writing.append('r', 'a', { transaction: client });
    await client.query('ROLLBACK');
    await world.sql(`SELECT pg_notify('baton_pg_stream:rolled', 'end')`);
    await waitFor(() => reading.stats().notificationsReceived > 0, { description: 'the next notification' });
    expect(reading.stats().notificationsReceived).toBe(1);
  });

  it('off: nobody is told, and the poll finds it', async () => {
    const reading = await world.service({ hints: 'on', pollInterval: '100ms', schema: 'mute' });
    const writing = await world.service({ hints: 'on', notify: 'off', schema: 'mute' });
    const read = textsOf(reading.read('off'));
    await writing.append('off', 'a');
    await writing.closeStream('off');
    expect(await read).toEqual(['a']);
    expect(reading.stats().notificationsReceived).toBe(0);
  });
});
