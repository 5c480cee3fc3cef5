import type { Handoff } from '@nest-baton/redis-reconcile';
import { Gate, openGate, sharedRedisUrl, waitFor } from '@nest-baton/testing';
import { RENEW } from '../../libs/redis-reconcile/src/scripts/owner/renew.js';
import { HookedRedis } from './support/hooked-redis.js';
import { aborted, freshService, startInstances } from './support/instance.js';

describe('an owner that was silent for longer than its lease', () => {
  const start = startInstances();

  /** An instance whose renewals stop at a gate: to everybody else it looks dead. */
  const startMute = async (service: string, handle: (handoff: Handoff) => Promise<void>, concurrency = 10) => {
    const renewals = openGate();
    const hooked = new HookedRedis(sharedRedisUrl(), (name, args) =>
      name === 'evalsha' && args[0] === RENEW.sha ? renewals.pass() : undefined,
    );
    // Its own scan must not be the one that robs it.
    const options = { connection: { instance: hooked }, recovery: { interval: '1h' } } as const;
    return { renewals, instance: await start({ service, handle, options, concurrency }) };
  };

  it('is told, loses its right to write, and its done is refused (R1)', async () => {
    const service = freshService();
    const finish = new Gate();
    const seen: { who: string; attempt: number; fence: number }[] = [];
    let zombie: Handoff | undefined;
    // Its only slot is taken, so what comes back goes to somebody else.
    const old = await startMute(
      service,
      async (handoff) => {
        zombie = handoff;
        seen.push({ who: 'old', attempt: handoff.attempt, fence: handoff.fence });
        await finish.pass();
      },
      1,
    );
    await old.instance.service.produce('x');
    await finish.arrived();
    old.renewals.close();
    const successor = new Gate();
    await start({
      service,
      handle: async ({ attempt, fence }) => {
        seen.push({ who: 'new', attempt, fence });
        await successor.pass();
      },
    });
    const reason = await aborted((zombie as Handoff).signal);
    expect(reason).toMatchObject({ code: 'LEASE_LOST' });
    expect(() => zombie?.assertOwned()).toThrow(expect.objectContaining({ code: 'LEASE_LOST' }));
    await successor.arrived();
    expect(seen).toHaveLength(2);
    expect(seen[1]?.fence).toBeGreaterThan(seen[0]?.fence ?? Infinity);
    expect(seen.map(({ attempt }) => attempt)).toEqual([1, 2]);
    // It wakes: renewals arrive, and it believes that it is done.
    old.renewals.open();
    await expect((zombie as Handoff).raiseFence(1)).rejects.toMatchObject({ code: 'LEASE_LOST' });
    await expect(old.instance.service.doneStream(zombie as Handoff)).rejects.toMatchObject({ code: 'LEASE_LOST' });
    finish.open();
    await waitFor(() => old.instance.eventsOf('doneRefused').length === 1, { description: 'its done was refused' });
    expect(old.instance.eventsOf('lost')).toHaveLength(1);
    expect(old.instance.eventsOf('done')).toEqual([]);
    expect(await old.instance.service.stats()).toMatchObject({ pending: 1 });
    successor.open();
    await waitFor(async () => (await old.instance.service.stats()).pending === 0, {
      description: 'the successor finished',
    });
  });

  it('may still finish when nobody took over: the record decides, not the lease', async () => {
    const service = freshService();
    const finish = new Gate();
    const { instance, renewals } = await startMute(service, async ({ signal }) => {
      await aborted(signal);
      await finish.pass();
    });
    await instance.service.produce('x');
    await waitFor(() => instance.eventsOf('acquired').length === 1, { description: 'it is owned' });
    renewals.close();
    await finish.arrived();
    expect(instance.eventsOf('lost')).toHaveLength(1);
    finish.open();
    await waitFor(() => instance.eventsOf('done').length === 1, { description: 'done was accepted' });
    expect(await instance.service.stats()).toMatchObject({ queued: 0, pending: 0, dead: 0 });
    renewals.open();
  });

  it('hands back uncounted when its handler stops for the lapse', async () => {
    const service = freshService();
    const attempts: number[] = [];
    const { instance, renewals } = await startMute(service, async ({ attempt, signal }) => {
      attempts.push(attempt);
      if (attempts.length > 1) return;
      throw await aborted(signal);
    });
    await instance.service.produce('x');
    await waitFor(() => attempts.length === 1, { description: 'it is owned' });
    renewals.close();
    await waitFor(() => instance.eventsOf('released').length === 1, { description: 'it was handed back' });
    renewals.open();
    await waitFor(() => instance.eventsOf('done').length === 1, { description: 'it was done later' });
    expect(attempts).toEqual([1, 1]);
  });

  it('hands back uncounted also when its handler does not listen', async () => {
    const service = freshService();
    const deaf = new Gate();
    const attempts: number[] = [];
    const { instance, renewals } = await startMute(service, async ({ attempt }) => {
      attempts.push(attempt);
      if (attempts.length === 1) await deaf.pass();
    });
    await instance.service.produce('x');
    await deaf.arrived();
    renewals.close();
    await waitFor(() => instance.eventsOf('released').some(({ releasedWhileRunning }) => releasedWhileRunning), {
      description: 'it was handed back while it ran',
    });
    renewals.open();
    await waitFor(() => attempts.length === 2, { description: 'somebody else owns it' });
    expect(attempts).toEqual([1, 1]);
    deaf.open();
    await waitFor(() => instance.eventsOf('done').length === 1, { description: 'one of them is done' });
  });

  it('cannot settle the successor’s lease by name from its own handler', async () => {
    const service = freshService();
    const wake = new Gate();
    const second = new Gate();
    const refused: unknown[] = [];
    let calls = 0;
    const { instance, renewals } = await startMute(service, async () => {
      if (++calls > 1) return second.pass();
      await wake.pass();
      await instance.service.doneStream('x').catch((error: unknown) => refused.push(error));
    });
    await instance.service.produce('x');
    await wake.arrived();
    renewals.close();
    await second.arrived();
    wake.open();
    await waitFor(() => refused.length === 1, { description: 'the old handler was refused' });
    expect(refused[0]).toMatchObject({ code: 'LEASE_LOST' });
    renewals.open();
    second.open();
    await waitFor(() => instance.eventsOf('done').length === 1, { description: 'the new owner is done' });
  });
});
