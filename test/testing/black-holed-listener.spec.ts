import { FaultProxy, freshDatabase, waitFor } from '@nest-baton/testing';
import { Client } from 'pg';

describe('a LISTEN connection whose path goes dead', () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>;
  let proxy: FaultProxy;
  let listening: Client;
  let session: Client;
  const heard: (string | undefined)[] = [];
  const seen: string[] = [];

  beforeEach(async () => {
    heard.length = 0;
    seen.length = 0;
    database = await freshDatabase();
    proxy = await FaultProxy.start({ target: database.url });
    listening = new Client({ connectionString: proxy.url, application_name: 'listening' });
    session = new Client({ connectionString: database.url });
    for (const event of ['end', 'error'] as const) listening.on(event, () => seen.push(event));
    listening.on('notification', ({ payload }) => heard.push(payload));
    session.on('error', () => undefined);
    await Promise.all([listening.connect(), session.connect()]);
    await listening.query('LISTEN here');
  });

  afterEach(async () => {
    await proxy.stop();
    await listening.end().catch(() => undefined);
    await session.end();
    await database.drop();
  });

  const notify = (payload: string) => session.query('SELECT pg_notify($1, $2)', ['here', payload]);

  it('hears nothing, is told nothing, not even that the server ended it, and learns of it when the path heals', async () => {
    await notify('before');
    await waitFor(() => heard.length === 1, { description: 'the notification before' });
    proxy.blackHole();
    await notify('swallowed');
    await waitFor(() => proxy.counts.swallowed.toClient > 0, { description: 'the notification to be swallowed' });
    await session.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'listening'`);
    await waitFor(() => proxy.connections[0]?.isServerOpen === false, { description: 'the server’s end' });
    expect([heard, seen, proxy.counts.open]).toEqual([['before'], [], 1]);
    await proxy.heal();
    await waitFor(() => seen.includes('end'), { description: 'the end' });
    expect(heard).toEqual(['before']);
  });

  it('hears what it missed, late, when the path was only stalled', async () => {
    proxy.stall('toClient');
    await notify('late');
    await notify('later');
    expect([heard, seen]).toEqual([[], []]);
    await proxy.heal();
    await waitFor(() => heard.length === 2, { description: 'both notifications' });
    expect([heard, seen]).toEqual([['late', 'later'], []]);
  });

  it('learns at once of a path that is cut', async () => {
    proxy.cut();
    await waitFor(() => seen.includes('end'), { description: 'the end' });
    const again = new Client({ connectionString: proxy.url });
    await again.connect();
    await again.end();
  });
});
