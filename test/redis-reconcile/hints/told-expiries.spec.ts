import { type ExclusiveRedis, startRedis, waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import {
  freshService,
  type Instance,
  type InstanceSettings,
  keysOf,
  letGhostLapse,
  openRedis,
  ownAsGhost,
  startInstance,
} from '../support/instance.js';
import { pull } from '../support/pulling.js';

describe('expiries of the leases of others', () => {
  const open: Instance[] = [];
  let server: ExclusiveRedis;
  let redis: Redis;

  beforeAll(async () => {
    server = await startRedis({ exclusive: true });
    redis = openRedis(server.url);
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((instance) => instance.close()));
  });
  afterAll(async () => {
    redis.disconnect();
    await server.stop();
  });

  const start = async (settings: InstanceSettings) => {
    const instance = await startInstance({
      url: server.url,
      ...settings,
      options: { keyspaceEvents: 'auto', recovery: { interval: '1h' }, hints: 'on', ...settings.options },
    });
    open.push(instance);
    return instance;
  };
  const listening = (instance: Instance) =>
    waitFor(async () => (await instance.service.health()).state === 'up' && instance.eventsOf('coverageChanged')[0], {
      description: 'it listens',
    });

  it('are told to every consumer, whatever the name, and the work comes to one of them (B27)', async () => {
    const service = freshService();
    const names = ['plain', 'with:colons:lease:x', '{braces}', 'glob*?[a]', 'ü 👩‍🚀\n'];
    const producer = await start({ service });
    for (const name of names) await producer.service.produce(name);
    const owned = await ownAsGhost(redis, service, names.length, 60_000);
    const a = await start({ service });
    const b = await start({ service });
    const consumers = [pull(a.service), pull(b.service)];
    await Promise.all([listening(a), listening(b)]);
    await letGhostLapse(redis, service, owned, 100);
    for (const consumer of consumers) {
      await consumer.until('StreamExpired', names.length);
      expect(
        consumer
          .ofType('StreamExpired')
          .map((one) => 'dataStream' in one && one.dataStream)
          .sort(),
      ).toEqual([...names].sort());
    }
    await waitFor(() => consumers.flatMap(({ added }) => added).length === names.length, {
      description: 'the work came to somebody, without a claim',
    });
  });

  it('are not told of what this process owns itself: that is disowned', async () => {
    const service = freshService();
    const a = await start({ service });
    const consumer = pull(a.service);
    await listening(a);
    await a.service.produce('mine');
    await consumer.until('StreamAdded');
    await redis.pexpire(keysOf(service).lease('mine'), 1);
    await consumer.until('StreamDisowned');
    expect(consumer.ofType('StreamExpired')).toEqual([]);
  });
});
