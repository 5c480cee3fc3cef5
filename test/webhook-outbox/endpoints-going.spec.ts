import { isDeepStrictEqual } from 'node:util';
import { waitFor } from '@nest-baton/testing';
import type { WebhookOutboxOptions } from '@nest-baton/webhook-outbox';
import { StatementGate } from './support/gates.js';
import { type OutboxApp, OutboxWorld } from './support/outbox-world.js';

let world: OutboxWorld;
let app: OutboxApp;

async function start(options: WebhookOutboxOptions = {}): Promise<void> {
  app = await world.start({ breakerFailures: 0, schedule: ['1h'], ...options });
}

beforeEach(async () => {
  world = await OutboxWorld.create();
});
afterEach(() => world.stop());

async function states(): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {};
  for (const { state } of await world.deliveries()) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}

async function become(expected: Readonly<Record<string, number>>): Promise<void> {
  await waitFor(async () => isDeepStrictEqual(await states(), expected), {
    description: JSON.stringify(expected),
    timeoutMs: 20_000,
  });
}

/** Deliveries whose time has not come, more than one statement moves. */
async function waiting(count: number): Promise<void> {
  // In one transaction: no relay ever sees it due.
  await app.dataSource.transaction(async (transaction) => {
    await app.outbox.send({ type: 'a', data: 1 }, { transaction });
    await transaction.query(`UPDATE baton.webhook_deliveries SET next_at = now() + interval '1 h'`);
  });
  await world.admin.query(
    `INSERT INTO baton.webhook_deliveries (event_id, endpoint_id, state, next_at, fence, attempts, lease_losses, created_at)
     SELECT gen_random_uuid(), endpoint_id, state, next_at, 0, 0, 0, created_at FROM baton.webhook_deliveries, generate_series(2, ${count})`,
  );
}

async function rows(state: string): Promise<number> {
  const { rowCount } = await world.admin.query('SELECT FROM baton.webhook_deliveries WHERE state = $1', [state]);
  return rowCount ?? 0;
}

describe.each([
  ['disabled', 'parked'],
  ['deleted', 'abandoned'],
] as const)('an endpoint that is %s', (how, state) => {
  const end = (id: string): Promise<unknown> =>
    how === 'disabled' ? app.endpoints.disable(id) : app.endpoints.delete(id);

  it(`has what waits ${state} by the process that was asked, without its waiting for the full look`, async () => {
    await start({ role: 'producer' });
    const { id } = await world.endpoint(app, 'x');
    await waiting(2_500);
    await start({ hints: 'on', pollInterval: '1h' });
    await waitFor(async () => (await app.outbox.health()).state === 'up', { description: 'a relay that has looked' });
    // A full look comes each 10 s, and the first at the start; the poll comes never.
    const begun = performance.now();
    await end(id);
    await waitFor(async () => (await rows(state)) === 2_500, { description: 'all of them', timeoutMs: 9_000 });
    expect(performance.now() - begun).toBeLessThan(9_000);
  });

  it(`has them ${state} by relays of other processes`, async () => {
    await start({ role: 'producer' });
    const { id } = await world.endpoint(app, 'x');
    await waiting(3);
    const worker = await world.start({ breakerFailures: 0, schedule: ['1h'] });
    const told: unknown[] = [];
    worker.outbox.on('pollFailed', ({ error }) => told.push(error));
    await end(id);
    await waitFor(async () => (await rows(state)) === 3, { description: 'all of them', timeoutMs: 20_000 });
    expect(told).toEqual([]);
  });

  it('lets the request that runs end as it does, and none follows', async () => {
    world.receiver.answer(({ body }) => ({ delayMs: 400, status: body.toString().includes('well') ? 204 : 500 }));
    await start({ schedule: ['10ms', '10ms'], hints: 'on' });
    const { id } = await world.endpoint(app, 'x');
    for (const data of ['well', 'badly']) await app.outbox.send({ type: 'a', data });
    await world.received('x', 2);
    await end(id);
    await become({ delivered: 1, [state]: 1 });
    expect(world.requests('x')).toHaveLength(2);
  });

  it(`has what a producer commits later ${state}, too`, async () => {
    await start({ hints: 'on' });
    const { id } = await world.endpoint(app, 'x');
    await app.dataSource.transaction(async (transaction) => {
      await app.outbox.send({ type: 'a', data: 1 }, { transaction });
      await end(id);
    });
    await become({ [state]: 1 });
    expect(world.requests('x')).toEqual([]);
  });
});

describe('an endpoint that is deleted after it was disabled', () => {
  it('has what was parked abandoned, and what a producer parked meanwhile', async () => {
    await start({ hints: 'on' });
    const { id } = await world.endpoint(app, 'x');
    const other = await world.endpoint(app, 'other');
    for (const one of [id, other.id]) await app.endpoints.disable(one);
    await app.outbox.send({ type: 'a', data: 1 });
    await app.dataSource.transaction(async (transaction) => {
      await app.outbox.send({ type: 'a', data: 2 }, { transaction });
      await app.endpoints.delete(id);
    });
    await become({ abandoned: 2, parked: 2 });
    const { deliveries } = await app.deliveries.list({ state: 'abandoned' });
    expect(deliveries).toMatchObject(Array(2).fill({ endpointId: id, reason: 'endpoint-deleted' }));
  });

  it('forgets what it has done wrong', async () => {
    world.receiver.answer({ status: 500 });
    await start();
    const { id } = await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    const known = async () => (await world.admin.query('SELECT FROM baton.webhook_endpoint_states')).rowCount;
    await waitFor(async () => (await known()) === 1, { description: 'what it did' });
    await app.endpoints.delete(id);
    expect(await known()).toBe(0);
  });
});

describe('an endpoint that is deleted', () => {
  it('while its secret is rotated keeps no secret', async () => {
    await start({ role: 'producer' });
    const { id } = await world.endpoint(app, 'x');
    const gate = await StatementGate.before(world.admin, 'INSERT ON baton.webhook_secrets');
    const rotating = app.endpoints.rotateSecret(id);
    await waitFor(() => gate.isReached(), { description: 'the rotation to be held' });
    const deleting = app.endpoints.delete(id);
    const isWaiting = `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database() AND query LIKE '%forgotten%'`;
    await waitFor(async () => ((await world.admin.query(isWaiting)).rowCount ?? 0) > 0, {
      description: 'the deletion to wait',
    });
    await gate.open();
    await Promise.all([rotating, deleting]);
    expect((await world.admin.query('SELECT FROM baton.webhook_secrets')).rowCount).toBe(0);
    await expect(app.endpoints.rotateSecret(id)).rejects.toMatchObject({ code: 'ENDPOINT_NOT_FOUND' });
  });

  it('by ten at once while ten rotate it is gone, with every secret', async () => {
    await start({ role: 'producer' });
    const { id } = await world.endpoint(app, 'x');
    const calls = Array.from({ length: 10 }, () => [app.endpoints.rotateSecret(id), app.endpoints.delete(id)]).flat();
    const codes = (await Promise.allSettled(calls)).map((one) =>
      one.status === 'rejected' ? (one.reason as { code: string }).code : 'done',
    );
    expect(codes.filter((code) => code !== 'done' && code !== 'ENDPOINT_NOT_FOUND')).toEqual([]);
    expect((await world.admin.query('SELECT FROM baton.webhook_secrets')).rowCount).toBe(0);
  });

  it('is not remembered for an answer that comes after that', async () => {
    world.receiver.answer({ status: 500, delayMs: 500 });
    await start();
    const { id } = await world.endpoint(app, 'x', { types: ['a'] });
    const { id: other } = await world.endpoint(app, 'other', { types: ['b'] });
    await app.outbox.send({ type: 'a', data: 1 });
    await world.received('x', 1);
    await app.endpoints.delete(id);
    await app.outbox.send({ type: 'b', data: 1 });
    const known = async () =>
      (await world.admin.query<{ id: string }>('SELECT endpoint_id AS id FROM baton.webhook_endpoint_states')).rows;
    await waitFor(async () => (await known()).some((one) => one.id === other), { description: 'what the other did' });
    expect(await known()).toEqual([{ id: other }]);
  });
});
