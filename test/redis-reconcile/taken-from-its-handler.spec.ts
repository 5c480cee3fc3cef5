import type { Handoff } from '@nest-baton/redis-reconcile';
import { Gate, openGate, sharedRedisUrl, waitFor } from '@nest-baton/testing';
import type { Redis } from 'ioredis';
import { DONE } from '../../libs/redis-reconcile/src/scripts/owner/done.js';
import { HAND_BACK } from '../../libs/redis-reconcile/src/scripts/owner/hand-back.js';
import { RENEW } from '../../libs/redis-reconcile/src/scripts/owner/renew.js';
import { HookedRedis } from './support/hooked-redis.js';
import { freshService, type Instance, openRedis, startInstance } from './support/instance.js';

describe('work that was handed back while its handler ran', () => {
  const open: Instance[] = [];
  let redis: Redis;

  beforeAll(() => {
    redis = openRedis();
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((instance) => instance.close()));
  });
  afterAll(() => redis.disconnect());

  /** Its only hand-off lapses once the renewals are held; of the scripts in `lost` the first call is executed and its answer is lost. */
  const startLapsing = async (lost: readonly string[] = []) => {
    const renewals = openGate();
    const finish = new Gate();
    const executed: string[] = [];
    const loseAnswer = async (sha: string, args: readonly unknown[]) => {
      await redis.call('EVALSHA', ...(args as string[]));
      executed.push(sha);
      throw new Error('the answer is lost');
    };
    const hooked = new HookedRedis(sharedRedisUrl(), (name, args) => {
      const sha = String(args[0]);
      if (name !== 'evalsha') return undefined;
      if (sha === RENEW.sha) return renewals.pass();
      if (!lost.includes(sha) || executed.includes(sha)) return undefined;
      return loseAnswer(sha, args);
    });
    // The scripts are known to the server, so that the lost call is the one that acts.
    await Promise.all([DONE, HAND_BACK].map(({ text }) => redis.script('LOAD', text)));
    const owned: Handoff[] = [];
    const instance = await startInstance({
      service: freshService(),
      concurrency: 1,
      options: { connection: { instance: hooked }, recovery: { interval: '1h' }, commandTimeout: 700 },
      handle: async (handoff) => {
        owned.push(handoff);
        await finish.pass();
      },
    });
    open.push(instance);
    await instance.service.produce('x');
    await finish.arrived();
    return { instance, renewals, finish, executed, handoff: owned[0] as Handoff };
  };

  it('is not done when the handler says so or resolves', async () => {
    const { instance, renewals, finish, handoff } = await startLapsing();
    renewals.close();
    await waitFor(() => instance.eventsOf('released').length === 1, { description: 'it was handed back' });
    await expect(instance.service.doneStream(handoff)).rejects.toMatchObject({ code: 'LEASE_LOST' });
    // The one slot is taken by the handler of the past: the work is still queued.
    expect(await instance.service.stats()).toMatchObject({ queued: 1 });
    renewals.open();
    finish.open();
    await waitFor(() => instance.eventsOf('doneRefused').length === 1, { description: 'its done was refused' });
    await waitFor(() => instance.eventsOf('done').length === 1, { description: 'the next owner is done' });
    expect(instance.eventsOf('doneRefused')[0]).toMatchObject({ fence: handoff.fence });
    expect(instance.eventsOf('done')[0]?.fence).toBeGreaterThan(handoff.fence);
  });

  it('is not done either when the answer to the hand-back was lost', async () => {
    const { instance, renewals, finish, executed, handoff } = await startLapsing([HAND_BACK.sha]);
    renewals.close();
    await waitFor(() => executed.length === 1, { description: 'it was handed back, and nobody here knows' });
    // Now the done is the next word after the one without an answer.
    finish.open();
    await waitFor(() => instance.eventsOf('doneRefused').length === 1, { description: 'its done was refused' });
    renewals.open();
    await waitFor(() => instance.eventsOf('done').length === 1, { description: 'the next owner is done' });
    expect(instance.eventsOf('done')[0]?.fence).toBeGreaterThan(handoff.fence);
  });

  it('was done before, and stays so, when only the answer to the done was lost', async () => {
    const { instance, renewals, finish, executed, handoff } = await startLapsing([DONE.sha]);
    renewals.close();
    await waitFor(() => instance.eventsOf('lost').length === 1, { description: 'it lapsed' });
    finish.open();
    await waitFor(() => executed.length === 1, { description: 'it is done, and nobody here knows' });
    await waitFor(() => instance.eventsOf('done').length === 1, { description: 'the retry learns that it was done' });
    expect(instance.eventsOf('done')[0]).toMatchObject({ fence: handoff.fence });
    expect(instance.eventsOf('released')).toEqual([]);
    expect(instance.eventsOf('doneRefused')).toEqual([]);
    expect(await instance.service.stats()).toMatchObject({ queued: 0, pending: 0 });
    renewals.open();
  });
});
