import { StallMeter, waitFor } from '@nest-baton/testing';
import {
  freshService,
  type InstanceSettings,
  keysOf,
  letGhostLapse,
  openRedis,
  ownAsGhost,
  startInstances,
} from '../support/instance.js';
import { useOwnRedis } from '../support/own-redis.js';

describe('expiry events', () => {
  const own = useOwnRedis();
  const startOne = startInstances();
  beforeEach(async () => {
    await own.redis.config('SET', 'notify-keyspace-events', '');
  });

  const start = (settings: InstanceSettings) => startOne({ url: own.server.url, ...settings });
  const flags = async () => ((await own.redis.config('GET', 'notify-keyspace-events')) as string[])[1] ?? '';
  /** A lease that runs out before anybody listens would tell nobody. */
  const LONG = 60_000;
  /** The scan would take an hour: what happens sooner, an event has done. */
  const eventsOnly = { keyspaceEvents: 'auto', recovery: { interval: '1h' } } as const;

  it('bring an orphan to somebody else long before a scan would, and leave no idle time to wait for (KspNotifs)', async () => {
    const service = freshService();
    const seen: { dataStream: string; attempt: number; at: number }[] = [];
    const handle = async ({ dataStream, attempt }: { dataStream: string; attempt: number }) =>
      void seen.push({ dataStream, attempt, at: performance.now() });
    const producer = await start({ service });
    await producer.service.produce('a:b {c}');
    const owned = await ownAsGhost(own.redis, service, 1, LONG);
    for (let i = 0; i < 3; i++) await start({ service, options: eventsOnly, handle });
    const stalls = StallMeter.start();
    const at = performance.now();
    await letGhostLapse(own.redis, service, owned, 700);
    await waitFor(() => seen.length === 1, { description: 'it was recovered' });
    expect(seen[0]).toMatchObject({ dataStream: 'a:b {c}', attempt: 2 });
    expect((seen[0]?.at ?? Infinity) - at).toBeLessThan(700 + 1000 + stalls.stop());
  });

  it('bring all of two hundred orphans, each to one of three workers (KspNotifsBulk)', async () => {
    const service = freshService();
    const producer = await start({ service });
    const names = Array.from({ length: 200 }, (_, i) => `s${i}`);
    await Promise.all(names.map((name) => producer.service.produce(name)));
    const seen: string[] = [];
    const owned = await ownAsGhost(own.redis, service, 200, LONG);
    for (let i = 0; i < 3; i++)
      await start({ service, options: eventsOnly, handle: async ({ dataStream }) => void seen.push(dataStream) });
    await letGhostLapse(own.redis, service, owned, 500);
    await waitFor(() => seen.length >= 200, { description: 'all were recovered' });
    expect(seen.sort()).toEqual(names.sort());
  });

  it('are asked for by adding to the flags that others set, which stay', async () => {
    await own.redis.config('SET', 'notify-keyspace-events', 'gE$lshz');
    const instance = await start({ service: freshService(), options: eventsOnly, handle: async () => undefined });
    expect((await flags()).split('').sort().join('')).toBe('g$lshzxKE'.split('').sort().join(''));
    expect(await instance.service.health()).toEqual({ state: 'up', mode: 'listening' });
  });

  it('count as lost when somebody takes the flags away, and are asked for again at the next look', async () => {
    const instance = await start({
      service: freshService(),
      options: { keyspaceEvents: 'auto' },
      handle: async () => undefined,
    });
    await own.redis.config('SET', 'notify-keyspace-events', '');
    await waitFor(async () => (await flags()).includes('x'), { description: 'the flags are back' });
    expect(await instance.service.health()).toMatchObject({ state: 'up', mode: 'listening' });
  });

  it.each(['verify', 'off'] as const)(
    'in mode %s leave the server’s configuration alone, and the scan does the work',
    async (mode) => {
      const service = freshService();
      const producer = await start({ service });
      await producer.service.produce('x');
      await ownAsGhost(own.redis, service, 1);
      const seen: string[] = [];
      const instance = await start({
        service,
        options: { keyspaceEvents: mode },
        handle: async ({ dataStream }) => void seen.push(dataStream),
      });
      expect(await flags()).toBe('');
      expect(await instance.service.health()).toMatchObject(
        // Nothing is amiss where nobody asked for events.
        mode === 'off'
          ? { state: 'up', mode: 'scanning' }
          : { state: 'degraded', mode: 'scanning', reason: 'events_lost' },
      );
      await waitFor(() => seen.length === 1, { description: 'the scan found it' });
      expect(await flags()).toBe('');
    },
  );

  it('are heard in mode verify when the server has them already', async () => {
    await own.redis.config('SET', 'notify-keyspace-events', 'AKE');
    const instance = await start({
      service: freshService(),
      options: { keyspaceEvents: 'verify' },
      handle: async () => undefined,
    });
    expect(await instance.service.health()).toMatchObject({ state: 'up', mode: 'listening' });
  });

  it('are no part of it with hints off, whatever the mode says', async () => {
    await own.redis.config('SET', 'notify-keyspace-events', '');
    const instance = await start({
      service: freshService(),
      options: { hints: 'off', keyspaceEvents: 'auto' },
      handle: async () => undefined,
    });
    expect(await flags()).toBe('');
    expect((await own.redis.call('PUBSUB', 'NUMPAT')) as number).toBe(0);
    expect(await instance.service.health()).toEqual({ state: 'up', mode: 'scanning' });
  });

  describe('where CONFIG is forbidden', () => {
    const restricted = () => {
      const url = new URL(own.server.url);
      url.username = 'app';
      url.password = 'secret';
      return url.href;
    };
    beforeAll(() => own.redis.call('ACL', 'SETUSER', 'app', 'on', '>secret', '~*', '&*', '+@all', '-config'));

    it('are done without: a warning, and the scan does the work', async () => {
      const service = freshService();
      const producer = await start({ service, url: restricted() });
      await producer.service.produce('x');
      await ownAsGhost(own.redis, service, 1);
      const seen: string[] = [];
      const instance = await start({
        service,
        url: restricted(),
        options: { keyspaceEvents: 'auto' },
        handle: async ({ dataStream }) => void seen.push(dataStream),
      });
      const health = await instance.service.health();
      expect(health).toEqual({
        state: 'degraded',
        mode: 'scanning',
        reason: 'events_lost',
        message: expect.stringMatching(/^expiry events do not arrive, the scan goes on: .*notify-keyspace-events/),
      });
      await waitFor(() => seen.length === 1, { description: 'the scan found it' });
    });

    it('stop the start in mode require, in one sentence', async () => {
      await expect(
        startOne({
          service: freshService(),
          url: restricted(),
          options: { keyspaceEvents: 'require' },
          handle: async () => undefined,
        }),
      ).rejects.toMatchObject({
        code: 'SERVER_UNSUPPORTED',
        message: expect.stringContaining('notify-keyspace-events'),
      });
    });
  });

  it('of other services, other databases and other keys are not ours (R14)', async () => {
    const service = `a[*?${freshService()}`;
    const other = `${service}:1`;
    const seen: string[] = [];
    const url = `${own.server.url}/3`;
    const inThree = openRedis(url);
    const instance = await start({
      service,
      url,
      options: eventsOnly,
      handle: async ({ dataStream }) => void seen.push(dataStream),
    });
    for (const key of [
      keysOf(other).lease('x'),
      `{${service}:99/100}:lease:x`,
      keysOf(service).lease('unknown'),
      'lease:x',
    ])
      await inThree.set(key, 'v', 'PX', 20);
    const producer = await start({ service, url });
    await instance.service.beforeApplicationShutdown();
    await producer.service.produce('mine');
    const owned = await ownAsGhost(inThree, service, 1, LONG);
    await start({ service, url, options: eventsOnly, handle: async ({ dataStream }) => void seen.push(dataStream) });
    await letGhostLapse(inThree, service, owned, 100);
    await waitFor(() => seen.length === 1, { description: 'the event of database 3 was heard' });
    expect(seen).toEqual(['mine']);
    inThree.disconnect();
  });

  it('have one subscription a process, confirmed when the start resolves (R21), and none after it', async () => {
    const before = (await own.redis.call('PUBSUB', 'NUMPAT')) as number;
    const service = freshService();
    const instance = await start({ service, options: eventsOnly, handle: async () => undefined });
    const patterns = ((await own.redis.client('LIST')) as string).split('\n').filter((line) => / psub=1 /.test(line));
    expect(patterns).toHaveLength(1);
    await instance.close();
    await waitFor(async () => ((await own.redis.call('PUBSUB', 'NUMPAT')) as number) === before, {
      description: 'it is gone',
    });
  });
});
