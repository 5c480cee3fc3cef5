import { type ChildWorker, startProcess, waitFor } from '@nest-baton/testing';
import type { WebhookOutboxOptions } from '@nest-baton/webhook-outbox';
import { StatementGate } from './support/gates.js';
import { header, OutboxWorld, TEST_OPTIONS } from './support/outbox-world.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

const SHORT = { lease: '1500ms', requestTimeout: '1s', schedule: ['5s', '5s'] } as const;

async function startRelay(options: WebhookOutboxOptions = SHORT): Promise<ChildWorker> {
  const child = await startProcess({
    entry: 'test/webhook-outbox/support/relay-program.ts',
    args: [world.url, JSON.stringify({ ...TEST_OPTIONS, ...options })],
  });
  await child.waitForLine(/^ready$/);
  return child;
}

async function kill(child: ChildWorker): Promise<void> {
  child.signal('SIGKILL');
  await child.exited;
}

describe('a relay that is killed', () => {
  it('between claim and send: delivered by the next, and of the first nobody knows whether it sent', async () => {
    const producer = await world.start({ role: 'producer' });
    const { secret } = await world.endpoint(producer, 'x');
    const child = await startRelay();
    // What a relay reads of an endpoint that it does not know yet, after the claim.
    const holder = await world.admin.connect();
    await holder.query('BEGIN');
    await holder.query('LOCK TABLE baton.webhook_secrets IN ACCESS EXCLUSIVE MODE');
    await producer.outbox.send({ type: 'a', data: 1 });
    await waitFor(async () => (await world.deliveries())[0]?.state === 'leased', { description: 'the claim' });
    await kill(child);
    await holder.query('ROLLBACK');
    holder.release();
    expect(world.requests('x')).toHaveLength(0);
    expect(await world.deliveries()).toMatchObject([{ state: 'leased', attempts: 1, last_outcome: 'unknown' }]);
    await world.start(SHORT);
    await world.settled(1);
    const [request] = world.requests('x');
    expect(world.receiver.verify(request!, secret)).toBe(true);
    expect(await world.deliveries()).toMatchObject([{ state: 'delivered', attempts: 2 }]);
    expect((await world.attempts()).map(({ outcome }) => outcome)).toEqual(['unknown', 'delivered']);
    expect(world.requests('x')).toHaveLength(1);
  });

  it('between send and settle: sent again with the same id', async () => {
    const producer = await world.start({ role: 'producer' });
    await world.endpoint(producer, 'x');
    const gate = await StatementGate.close(world.admin, 'settle');
    const child = await startRelay();
    await producer.outbox.send({ type: 'a', data: 1 });
    await waitFor(() => gate.isReached(), { description: 'the settle to be held' });
    await kill(child);
    await gate.endHeldStatements();
    await gate.open();
    expect(await world.deliveries()).toMatchObject([{ state: 'leased', attempts: 1, last_outcome: 'unknown' }]);
    await world.start(SHORT);
    const [first, second] = await world.received('x', 2);
    expect(header(second!, 'webhook-id')).toBe(header(first!, 'webhook-id'));
    expect(second!.body.equals(first!.body)).toBe(true);
    await world.settled(1);
    expect(await world.deliveries()).toMatchObject([{ state: 'delivered', attempts: 2, lease_losses: 0 }]);
  });

  it('while the receiver thinks: sent again with the same id', async () => {
    world.receiver.answer([{ instead: 'never' }]);
    const producer = await world.start({ role: 'producer' });
    await world.endpoint(producer, 'x');
    const child = await startRelay();
    await producer.outbox.send({ type: 'a', data: 1 });
    await world.received('x', 1);
    await kill(child);
    await world.start(SHORT);
    const [first, second] = await world.received('x', 2);
    expect(header(second!, 'webhook-id')).toBe(header(first!, 'webhook-id'));
    expect(await world.settled(1)).toMatchObject([{ state: 'delivered', attempts: 2 }]);
  });
});

describe('a relay that stalls past its lease', () => {
  it('may not settle what another has delivered meanwhile', async () => {
    world.receiver.answer([{ delayMs: 300 }]);
    const producer = await world.start({ role: 'producer' });
    await world.endpoint(producer, 'x');
    const child = await startRelay();
    await producer.outbox.send({ type: 'a', data: 1 });
    await world.received('x', 1);
    child.signal('SIGSTOP');
    await world.start(SHORT);
    const [settled] = await world.settled(1);
    expect(settled).toMatchObject({ state: 'delivered', attempts: 2 });
    child.signal('SIGCONT');
    await child.waitForLine(/^leaseLost \d+ true$/);
    expect(await world.deliveries()).toEqual([settled]);
    expect(child.lines.some((line) => line.startsWith('delivered'))).toBe(false);
    expect(world.requests('x')).toHaveLength(2);
    await kill(child);
  });
});

describe('a relay that stalls past the time limit of a request', () => {
  it('takes the answer that came meanwhile', async () => {
    world.receiver.answer([{ delayMs: 200 }]);
    const producer = await world.start({ role: 'producer' });
    await world.endpoint(producer, 'x');
    const child = await startRelay({ requestTimeout: '1s', schedule: [0, 0] });
    await producer.outbox.send({ type: 'a', data: 1 });
    const [request] = await world.received('x', 1);
    child.signal('SIGSTOP');
    await waitFor(() => request!.status === 204, { description: 'the answer' });
    await world.admin.query('SELECT pg_sleep(1.5)');
    child.signal('SIGCONT');
    expect(await world.settled(1)).toMatchObject([{ state: 'delivered', attempts: 1, last_outcome: 'delivered' }]);
    expect(world.requests('x')).toHaveLength(1);
    await kill(child);
  });
});

describe('a relay that stalls while another sends', () => {
  it('may not settle the claim of the other', async () => {
    world.receiver.answer([{ delayMs: 300, status: 500 }, { delayMs: 3_000 }]);
    const options = { ...SHORT, lease: '10s', requestTimeout: '8s' } as const;
    const producer = await world.start({ role: 'producer' });
    await world.endpoint(producer, 'x');
    const child = await startRelay();
    await producer.outbox.send({ type: 'a', data: 1 });
    await world.received('x', 1);
    child.signal('SIGSTOP');
    await world.start(options);
    await world.received('x', 2);
    const [claimed] = await world.deliveries();
    child.signal('SIGCONT');
    await child.waitForLine(/^leaseLost \d+ true$/);
    expect(await world.deliveries()).toEqual([claimed]);
    expect(await world.settled(1)).toMatchObject([{ state: 'delivered', attempts: 2, fence: claimed?.fence }]);
    await kill(child);
  });
});

describe('a lease that expired', () => {
  async function expire(set: string): Promise<void> {
    await world.admin.query(
      `UPDATE baton.webhook_deliveries SET state = 'leased', lease_until = now() - interval '1 s', fence = 1, ${set}`,
    );
  }

  it('on the last attempt: the delivery is dead, its outcome unknown, and nothing is sent', async () => {
    const producer = await world.start({ role: 'producer' });
    await world.endpoint(producer, 'x');
    await producer.outbox.send({ type: 'a', data: 1 });
    await expire(`attempts = 3, last_outcome = 'unknown'`);
    const dead: unknown[] = [];
    await world.start({ ...SHORT, onDead: (delivery) => dead.push(delivery) });
    expect(await world.settled(1)).toMatchObject([{ state: 'dead', reason: 'exhausted', last_outcome: 'unknown' }]);
    await waitFor(() => dead.length === 1, { description: 'onDead' });
    expect(dead).toMatchObject([{ attempts: 3, outcome: 'unknown', reason: 'exhausted' }]);
    expect(world.requests('x')).toHaveLength(0);
  });

  it('for the tenth time in a row: the delivery is dead, because it crashes its process', async () => {
    const producer = await world.start({ role: 'producer' });
    await world.endpoint(producer, 'x');
    await producer.outbox.send({ type: 'a', data: 1 });
    await expire(`attempts = 1, last_outcome = 'unknown', lease_losses = 9`);
    await world.start({ ...SHORT });
    expect(await world.settled(1)).toMatchObject([{ state: 'dead', reason: 'crash-loop', attempts: 1 }]);
    expect(world.requests('x')).toHaveLength(0);
  });

  it('for the second time: suspects are sent one at a time, beside the others, until an outcome clears them', async () => {
    let running = 0;
    let most = 0;
    world.receiver.answer((request) => {
      if (!request.body.toString().includes('suspect')) return {};
      most = Math.max(most, ++running);
      setTimeout(() => running--, 100);
      return { delayMs: 100 };
    });
    const producer = await world.start({ role: 'producer' });
    await world.endpoint(producer, 'x');
    for (let i = 0; i < 5; i++) await producer.outbox.send({ type: 'a', data: 'suspect' });
    await expire('lease_losses = 1');
    for (let i = 0; i < 20; i++) await producer.outbox.send({ type: 'a', data: 'other' });
    await world.start(SHORT);
    const rows = await world.settled(25);
    expect(most).toBe(1);
    expect(rows.every(({ state, lease_losses }) => state === 'delivered' && lease_losses === 0)).toBe(true);
  });
});
