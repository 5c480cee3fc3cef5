import { waitFor } from '@nest-baton/testing';
import {
  freshService,
  type Instance,
  type InstanceSettings,
  keysOf,
  letGhostLapse,
  ownAsGhost,
  startInstances,
} from '../support/instance.js';
import { useOwnRedis } from '../support/own-redis.js';
import { pull } from '../support/pulling.js';

describe('expiries of the leases of others', () => {
  const own = useOwnRedis();
  const startOne = startInstances();

  const start = (settings: InstanceSettings) =>
    startOne({
      url: own.server.url,
      ...settings,
      options: { keyspaceEvents: 'auto', recovery: { interval: '1h' }, hints: 'on', ...settings.options },
    });
  const listening = (instance: Instance) =>
    waitFor(async () => (await instance.service.health()).state === 'up' && instance.eventsOf('coverageChanged')[0], {
      description: 'it listens',
    });

  it('are told to every consumer, whatever the name, and the work comes to one of them (B27)', async () => {
    const service = freshService();
    const names = ['plain', 'with:colons:lease:x', '{braces}', 'glob*?[a]', 'ü 👩‍🚀\n'];
    const producer = await start({ service });
    for (const name of names) await producer.service.produce(name);
    const owned = await ownAsGhost(own.redis, service, names.length, 60_000);
    const a = await start({ service });
    const b = await start({ service });
    const consumers = [pull(a.service), pull(b.service)];
    await Promise.all([listening(a), listening(b)]);
    await letGhostLapse(own.redis, service, owned, 100);
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
    await own.redis.pexpire(keysOf(service).lease('mine'), 1);
    await consumer.until('StreamDisowned');
    expect(consumer.ofType('StreamExpired')).toEqual([]);
  });
});
