import { StallMeter, waitFor } from '@nest-baton/testing';
import type { WebhookOutboxOptions } from '@nest-baton/webhook-outbox';
import { StatementGate } from '../support/gates.js';
import { header, type OutboxApp, OutboxWorld } from '../support/outbox-world.js';

let world: OutboxWorld;
let app: OutboxApp;
let deliveries: OutboxApp['deliveries'];
let status = 500;

async function start(options: WebhookOutboxOptions = {}): Promise<void> {
  // Else twenty dead letters would open it.
  app = await world.start({ breakerFailures: 0, ...options });
  deliveries = app.deliveries;
}

beforeEach(async () => {
  status = 500;
  world = await OutboxWorld.create();
  world.receiver.answer(() => ({ status }));
});
afterEach(() => world.stop());

/** So many dead letters, each of its schedule of three attempts. */
async function deadLetters(count: number): Promise<string[]> {
  await world.endpoint(app, 'x');
  for (let nth = 0; nth < count; nth++) await app.outbox.send({ type: 'a', data: nth });
  return (await world.settled(count)).map(({ id }) => id);
}

describe('a replay (conformance: replay)', () => {
  it('sends a dead letter again with new attempts, under the same id, and keeps the history', async () => {
    await start({ schedule: ['20ms', '20ms'] });
    const [id = ''] = await deadLetters(1);
    expect(await deliveries.get(id)).toMatchObject({ state: 'dead', attempts: 3, reason: 'exhausted' });
    const before = world.requests('x');
    expect(await deliveries.replay(id)).toMatchObject({
      id,
      state: 'ready',
      attempts: 0,
      reason: null,
      settledAt: null,
    });
    await waitFor(async () => (await deliveries.get(id)).state === 'dead', { description: 'its second death' });
    status = 204;
    await deliveries.replay(id);
    await waitFor(async () => (await deliveries.get(id)).state === 'delivered', { description: 'its delivery' });
    expect(before).toHaveLength(3);
    const all = world.requests('x');
    expect(all).toHaveLength(7);
    expect(new Set(all.map((request) => header(request, 'webhook-id'))).size).toBe(1);
    expect(new Set(all.map(({ body }) => body.toString())).size).toBe(1);
    expect((await deliveries.attempts(id)).map(({ attempt, outcome }) => `${attempt} ${outcome}`)).toEqual([
      '1 retry',
      '2 retry',
      '3 retry',
      '1 retry',
      '2 retry',
      '3 retry',
      '1 delivered',
    ]);
    expect(await deliveries.get(id)).toMatchObject({ attempts: 1 });
  });

  it('sends what was delivered once more, when asked for it', async () => {
    status = 204;
    await start();
    const [id = ''] = await deadLetters(1);
    await deliveries.replay(id);
    await world.received('x', 2);
  });

  it('is refused while it is sent, and after that succeeds', async () => {
    await start();
    await world.endpoint(app, 'x');
    world.receiver.answer({ status: 400, delayMs: 500 });
    await app.outbox.send({ type: 'a', data: 1 });
    await world.received('x', 1);
    const { id, fence } = (await world.deliveries())[0]!;
    for (const call of [deliveries.replay(id), deliveries.abandon(id)])
      await expect(call).rejects.toMatchObject({ code: 'DELIVERY_STATE', state: 'leased', retryable: true });
    expect(await deliveries.replayMany({ filter: { type: 'a' } })).toMatchObject({ replayed: 0 });
    expect(await deliveries.abandon({ type: 'a' })).toBe(0);
    expect(await world.deliveries()).toMatchObject([{ id, fence, state: 'leased' }]);
    await world.settled(1);
    await deliveries.replay(id);
    await world.received('x', 2);
  });

  it('is refused of what waits for its next attempt anyway', async () => {
    await start({ schedule: ['1h'] });
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    await waitFor(async () => (await world.deliveries())[0]?.last_outcome === 'retry', { description: 'one attempt' });
    const [row] = await world.deliveries();
    await expect(deliveries.replay(String(row?.id))).rejects.toMatchObject({
      code: 'DELIVERY_STATE',
      state: 'ready',
      retryable: false,
    });
  });

  it('waits for a claim that settles at this moment, and takes what it finds then', async () => {
    await start({ schedule: [] });
    await world.endpoint(app, 'x');
    const gate = await StatementGate.close(world.admin, 'settle');
    await app.outbox.send({ type: 'a', data: 1 });
    await waitFor(() => gate.isReached(), { description: 'the settle to be held' });
    const { id } = (await world.deliveries())[0]!;
    const replayed = deliveries.replay(id);
    await waitFor(
      async () =>
        ((
          await world.admin.query(
            `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%KEY SHARE%'`,
          )
        ).rowCount ?? 0) > 0,
      { description: 'the replay to wait' },
    );
    status = 204;
    await gate.open();
    expect(await replayed).toMatchObject({ state: 'ready', attempts: 0 });
    await world.received('x', 2);
    await waitFor(async () => (await deliveries.get(id)).state === 'delivered', { description: 'its delivery' });
  });

  it('makes a stalled owner lose: what it writes under its old fence moves nothing', async () => {
    await start({ role: 'producer' });
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    const { id } = (await world.deliveries())[0]!;
    await world.admin.query(`UPDATE baton.webhook_deliveries SET state = 'dead', fence = 5, settled_at = now()`);
    await deliveries.replay(id);
    expect(BigInt((await world.deliveries())[0]!.fence)).toBeGreaterThan(5n);
  });

  it('of ten at the same time happens once', async () => {
    await start({ schedule: [] });
    const [id = ''] = await deadLetters(1);
    await app.close();
    await start({ role: 'producer' });
    const results = await Promise.allSettled(Array.from({ length: 10 }, () => deliveries.replay(id)));
    expect(results.filter(({ status: what }) => what === 'fulfilled')).toHaveLength(1);
  });

  it('is refused for an endpoint that is not active, and done once it is', async () => {
    await start({ schedule: [] });
    const [id = ''] = await deadLetters(1);
    await world.admin.query(`UPDATE baton.webhook_endpoints SET state = 'disabled', version = version + 1`);
    await expect(deliveries.replay(id)).rejects.toMatchObject({ code: 'ENDPOINT_NOT_ACTIVE' });
    expect(await deliveries.replayMany({ filter: { state: 'dead' } })).toMatchObject({ replayed: 0, skipped: 1 });
    await world.admin.query(`UPDATE baton.webhook_endpoints SET state = 'active', version = version + 1`);
    status = 204;
    await deliveries.replay(id);
    await waitFor(async () => (await deliveries.get(id)).state === 'delivered', { description: 'its delivery' });
  });
});

describe('a replay of many', () => {
  it('counts what it would do, does it, and leaves what was delivered alone', async () => {
    await start({ schedule: [] });
    await deadLetters(20);
    status = 204;
    await app.outbox.send({ type: 'a', data: 'well' });
    await world.settled(21);
    const filter = { type: 'a' };
    expect(await deliveries.replayMany({ filter, dryRun: true })).toEqual({
      replayed: 20,
      skipped: 0,
      lastDueAt: null,
      isComplete: true,
    });
    expect(world.requests('x')).toHaveLength(21);
    expect(await deliveries.replayMany({ filter, rate: 1_000 })).toMatchObject({ replayed: 20, isComplete: true });
    await world.received('x', 41);
    await waitFor(async () => (await app.outbox.stats()).byState.delivered === 21, { description: 'all delivered' });
    expect(await deliveries.replayMany({ filter })).toMatchObject({ replayed: 0, lastDueAt: null });
    expect(await deliveries.replayMany({ filter: { state: 'delivered' }, dryRun: true })).toMatchObject({
      replayed: 21,
    });
  });

  it('spreads them over time by the rate', async () => {
    await start({ schedule: [] });
    await deadLetters(12);
    status = 204;
    const begun = Date.now();
    const { lastDueAt } = await deliveries.replayMany({ filter: { state: 'dead' }, rate: 10 });
    expect(Number(lastDueAt) - begun).toBeGreaterThanOrEqual(1_050);
    const received = (await world.received('x', 24)).slice(12).map(({ receivedAt }) => receivedAt - begun);
    received.forEach((at, nth) => expect(at).toBeGreaterThanOrEqual(nth * 100 - 5));
  });

  it('takes each once, in batches, also while they die again', async () => {
    await start({ role: 'producer' });
    await world.endpoint(app, 'x');
    await app.outbox.sendMany(Array.from({ length: 800 }, (_, nth) => ({ type: 'a', data: nth })));
    await app.outbox.sendMany(Array.from({ length: 430 }, (_, nth) => ({ type: 'a', data: -nth - 1 })));
    await world.admin.query(`UPDATE baton.webhook_deliveries SET state = 'dead', settled_at = now(), attempts = 9`);
    await world.admin.query(
      `CREATE FUNCTION baton.again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.state := 'dead'; RETURN NEW; END $$`,
    );
    await world.admin.query(
      `CREATE TRIGGER again BEFORE UPDATE ON baton.webhook_deliveries FOR EACH ROW EXECUTE FUNCTION baton.again()`,
    );
    expect(await deliveries.replayMany({ filter: { state: 'dead' } })).toMatchObject({ replayed: 1_230 });
  });

  it('ends with its signal between two batches, and tells how far it came', async () => {
    await start({ role: 'producer' });
    await world.endpoint(app, 'x');
    for (let batch = 0; batch < 2; batch++)
      await app.outbox.sendMany(Array.from({ length: 600 }, (_, nth) => ({ type: 'a', data: [batch, nth] })));
    await world.admin.query(`UPDATE baton.webhook_deliveries SET state = 'dead', settled_at = now()`);
    const abort = new AbortController();
    const replaying = deliveries.replayMany({ filter: { state: 'dead' }, signal: abort.signal });
    await waitFor(async () => (await app.outbox.stats()).byState.ready > 0, { description: 'the first batch' });
    abort.abort();
    const { replayed, isComplete } = await replaying;
    expect((await app.outbox.stats()).byState.ready).toBe(replayed);
    expect(isComplete).toBe(replayed === 1_200);
    const aborted = { filter: { state: 'dead' as const }, signal: AbortSignal.abort() };
    expect(await deliveries.replayMany(aborted)).toMatchObject({ replayed: 0, isComplete: false });
  });

  it('by two at the same time moves each once', async () => {
    await start({ role: 'producer' });
    await world.endpoint(app, 'x');
    await app.outbox.sendMany(Array.from({ length: 1_000 }, (_, nth) => ({ type: 'a', data: nth })));
    await world.admin.query(`UPDATE baton.webhook_deliveries SET state = 'dead', settled_at = now()`);
    const other = await world.start({ role: 'producer' });
    const both = await Promise.all(
      [deliveries, other.deliveries].map((service) => service.replayMany({ filter: { state: 'dead' } })),
    );
    expect(both[0]!.replayed + both[1]!.replayed).toBe(1_000);
  });
});

describe('what is abandoned', () => {
  it('is sent no more, and may be replayed', async () => {
    await start({ schedule: ['1h'] });
    await world.endpoint(app, 'x');
    for (let nth = 0; nth < 3; nth++) await app.outbox.send({ type: 'a', data: nth });
    await waitFor(
      async () => (await world.deliveries()).every(({ state, attempts }) => state === 'ready' && attempts === 1),
      {
        description: 'the first attempts',
      },
    );
    const [first] = await world.deliveries();
    expect(await deliveries.abandon(String(first?.id))).toBe(1);
    expect(await deliveries.get(String(first?.id))).toMatchObject({ state: 'abandoned', reason: 'abandoned' });
    await expect(deliveries.abandon(String(first?.id))).rejects.toMatchObject({
      code: 'DELIVERY_STATE',
      retryable: false,
    });
    expect(await deliveries.abandon({ type: 'a' })).toBe(2);
    expect((await app.outbox.stats()).byState).toMatchObject({ abandoned: 3, ready: 0 });
    status = 204;
    expect(await deliveries.replayMany({ filter: { type: 'a' }, rate: 1_000 })).toMatchObject({ replayed: 3 });
    await waitFor(async () => (await app.outbox.stats()).byState.delivered === 3, { description: 'all delivered' });
  });
});

describe('live deliveries', () => {
  it('do not wait behind a replay of thousands (scenario 13)', async () => {
    status = 204;
    await start();
    await world.endpoint(app, 'x', { types: ['old'] });
    await world.endpoint(app, 'live', { types: ['live'] });
    await app.close();
    await start({ role: 'producer' });
    for (let batch = 0; batch < 5; batch++)
      await app.outbox.sendMany(Array.from({ length: 1_000 }, (_, nth) => ({ type: 'old', data: [batch, nth] })));
    await world.admin.query(`UPDATE baton.webhook_deliveries SET state = 'dead', settled_at = now()`);
    await app.close();
    await start();
    const took = async (): Promise<number> => {
      const times: number[] = [];
      for (let nth = 0; nth < 40; nth++) {
        const before = world.requests('live').length;
        const begun = Date.now();
        await app.outbox.send({ type: 'live', data: nth });
        times.push((await world.received('live', before + 1)).at(-1)!.receivedAt - begun);
      }
      return times.sort((a, b) => a - b)[38]!;
    };
    const alone = await took();
    await deliveries.replayMany({ filter: { type: 'old', state: 'dead' }, rate: 500 });
    const stalls = StallMeter.start();
    const beside = await took();
    const stalledMs = stalls.stop();
    expect(world.requests('x').length).toBeGreaterThan(0);
    expect(world.requests('x').length).toBeLessThan(5_000);
    // One poll where hints are off; a busy machine has the rest.
    expect(beside).toBeLessThan(Math.max(2 * alone, 250) + stalledMs);
  });
});
