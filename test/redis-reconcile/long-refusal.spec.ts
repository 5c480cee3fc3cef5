import { NackError } from '@nest-baton/redis-reconcile';
import { waitFor } from '@nest-baton/testing';
import { freshService, type Instance, startInstance } from './support/instance.js';

describe('a refusal for longer than can be waited for', () => {
  let instance: Instance;

  afterEach(() => instance.close());

  it.each(['36500d', Number.MAX_VALUE] as const)('is one for 30 days: %s', async (delay) => {
    instance = await startInstance({
      service: freshService(),
      handle: () => Promise.reject(new NackError({ delay })),
    });
    await instance.service.produce('x');
    await waitFor(() => instance.eventsOf('nacked').length === 1, { description: 'it was refused' });
    expect(instance.eventsOf('nacked')).toMatchObject([{ dataStream: 'x', delayMs: 30 * 86_400_000 }]);
    expect(await instance.service.stats()).toMatchObject({ held: 1, pending: 1 });
  });
});
