import { FaultProxy, freshDatabase, StallMeter, waitFor } from '@nest-baton/testing';
import type pg from 'pg';
import { connected, Listening } from './listening.js';

describe('a network path that swallows bytes', () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>;
  let session: pg.Client;
  let proxy: FaultProxy;

  beforeAll(async () => {
    database = await freshDatabase();
    session = await connected(database.url);
  });
  afterEach(() => proxy.stop());
  afterAll(async () => {
    await session.end();
    await database.drop();
  });

  it('does not hold up stop(), which takes a second and closes the socket', async () => {
    proxy = await FaultProxy.start({ target: database.url });
    const listening = new Listening(proxy.url);
    await listening.listener.start();
    proxy.blackHole();
    const stalls = StallMeter.start();
    const started = performance.now();
    await listening.listener.stop();
    expect(performance.now() - started).toBeLessThan(1_500 + stalls.stop());
    await waitFor(() => proxy.counts.open === 0, { description: 'the socket to be closed' });
  });

  it.each([
    ['the first byte on', undefined],
    ['LISTEN on', 'LISTEN'],
  ])('from %s is given up after the time of an attempt, and tried again', async (_moment, swallowsFrom) => {
    proxy = await FaultProxy.start({
      target: database.url,
      watch: ({ bytes }) => {
        if (swallowsFrom !== undefined && bytes.includes(swallowsFrom)) proxy.blackHole({ newConnections: 'connect' });
      },
    });
    if (swallowsFrom === undefined) proxy.blackHole();
    const listening = new Listening(proxy.url, { attemptTimeoutMs: 300 });
    await expect(listening.listener.start()).rejects.toThrow('LISTEN was not active within 300 ms');
    expect(listening.state).toBe('connecting');
    if (swallowsFrom === undefined) {
      await proxy.heal();
      await waitFor(() => listening.state === 'listening', { description: 'listening once the path is alive' });
    } else {
      await waitFor(() => listening.lost.length >= 2, { description: 'a second attempt' });
    }
    await listening.listener.stop();
    await waitFor(() => proxy.counts.open === 0, { description: 'all sockets to be closed' });
  });

  it('lets a start() go that waits on it when stop() comes', async () => {
    proxy = await FaultProxy.start({ target: database.url });
    proxy.blackHole();
    const listening = new Listening(proxy.url);
    const started = listening.listener.start();
    await waitFor(() => proxy.counts.open === 1, { description: 'the attempt to reach the path' });
    await listening.listener.stop();
    await started;
    expect([listening.state, listening.lost]).toEqual(['stopped', []]);
    await waitFor(() => proxy.counts.open === 0, { description: 'the socket to be closed' });
  });
});
