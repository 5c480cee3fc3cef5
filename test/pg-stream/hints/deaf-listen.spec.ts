import { FaultProxy, startPgbouncer, waitFor } from '@nest-baton/testing';
import { StreamsWorld, textsOf } from '../support/streams-world.js';

let world: StreamsWorld;
beforeAll(async () => void (world = await StreamsWorld.create()));
afterAll(() => world.stop());

describe('a LISTEN connection that is open and hears nothing', () => {
  it('A31 is found within 15 s when its path swallows everything, and nothing is lost meanwhile', async () => {
    const proxy = await FaultProxy.start({ target: world.url });
    try {
      const reading = await world.service({ hints: 'on', listenConnectionString: proxy.url, pollInterval: '1s' });
      const writing = await world.service({ hints: 'on' });
      const read = textsOf(reading.read('hole'));
      await waitFor(() => reading.stats().waitingStreams === 1, { description: 'the reader to wait' });
      const lost = new Promise((resolve) => reading.on('listenerLost', ({ error }) => resolve(error)));
      const begun = performance.now();
      for (const connection of proxy.connections) connection.blackHole();
      for (let i = 0; i < 5; i++) await writing.append('hole', `${i}`);
      expect(String(await lost)).toMatch(/hears nothing/);
      expect(performance.now() - begun).toBeLessThan(15_000);
      await waitFor(() => reading.stats().reconnects === 1, { description: 'another LISTEN' });
      await writing.closeStream('hole');
      expect(await read).toEqual(['0', '1', '2', '3', '4']);
      expect(await reading.health()).toEqual({ state: 'up', mode: 'listening' });
    } finally {
      await proxy.stop();
    }
  }, 30_000);

  it("refuses to start behind a transaction pooler, with the remedy; with 'degrade' it polls and says so", async () => {
    const pooler = await startPgbouncer({ databaseUrl: world.url });
    try {
      const refused = world.service({ hints: 'on', listenConnectionString: pooler.url });
      const degraded = await world.service({ hints: 'on', startup: 'degrade', connectionString: pooler.url });
      await expect(refused).rejects.toMatchObject({ code: 'STREAM_UNAVAILABLE' });
      await expect(refused).rejects.toThrow(/hears nothing.*listenConnectionString.*Postgres itself/);
      await waitFor(async () => (await degraded.health()).state === 'degraded', { description: 'health to tell' });
      await waitFor(
        async () => {
          const health = await degraded.health();
          return health.state === 'degraded' && health.reason === 'listener_deaf';
        },
        { timeoutMs: 10_000, description: 'health to say why' },
      );
      const mute = await world.service({ notify: 'off' });
      const read = textsOf(degraded.read('pooled'));
      await mute.append('pooled', 'a');
      await mute.closeStream('pooled');
      expect(await read).toEqual(['a']);
    } finally {
      await pooler.stop();
    }
  }, 30_000);

  it('is no false alarm when the process stands still for seconds', async () => {
    const streams = await world.service({ hints: 'on' });
    const losses: unknown[] = [];
    streams.on('listenerLost', ({ error }) => losses.push(error));
    for (let i = 0; i < 2; i++) {
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      const until = performance.now() + 3_000;
      while (performance.now() < until);
    }
    await world.sql(`SELECT pg_notify('baton_pg_stream:baton', 'baton-echo:' || g) FROM generate_series(1, 100) g`);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(losses).toEqual([]);
    expect(streams.stats().notificationsReceived).toBe(0);
  }, 20_000);
});
