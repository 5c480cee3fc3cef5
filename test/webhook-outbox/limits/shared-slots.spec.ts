import { startProcess, waitFor } from '@nest-baton/testing';
import type { WebhookOutboxOptions } from '@nest-baton/webhook-outbox';
import { ClaimStore } from '../../../libs/webhook-outbox/src/claiming/claim-store.js';
import { ClaimsByLimit } from '../../../libs/webhook-outbox/src/claiming/claims-by-limit.js';
import { LimitedCircle } from '../../../libs/webhook-outbox/src/claiming/limited-circle.js';
import { type OutboxApp, OutboxWorld, TEST_OPTIONS } from '../support/outbox-world.js';
import { startWithQueue, TestQueue } from '../support/queue-app.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

async function limited(app: OutboxApp, path: string, globalMaxInFlight: number): Promise<string> {
  const { id } = await app.endpoints.create({ url: `${world.receiver.url}${path}`, types: [path], globalMaxInFlight });
  return id;
}

async function send(app: OutboxApp, type: string, count: number): Promise<void> {
  await app.outbox.sendMany(Array.from({ length: count }, (_, data) => ({ type, data })));
}

async function startRelay(options: WebhookOutboxOptions = {}) {
  const child = await startProcess({
    entry: 'test/webhook-outbox/support/relay-program.ts',
    args: [world.url, JSON.stringify({ ...TEST_OPTIONS, ...options })],
  });
  await child.waitForLine(/^ready$/, 30_000);
  return child;
}

/** The most requests that ran at one time. */
function watchInFlight(delayMs: number): { most: number } {
  const seen = { now: 0, most: 0 };
  world.receiver.answer(() => {
    seen.most = Math.max(seen.most, ++seen.now);
    setTimeout(() => seen.now--, delayMs);
    return { delayMs };
  });
  return seen;
}

async function count(state: string): Promise<number> {
  return (await world.deliveries()).filter((one) => one.state === state).length;
}

describe('globalMaxInFlight', () => {
  it('is not exceeded by several processes together, and used, while each could have more', async () => {
    const seen = watchInFlight(40);
    const producer = await world.start({ role: 'producer' });
    await limited(producer, 'x', 3);
    const children = await Promise.all([startRelay(), startRelay()]);
    await send(producer, 'x', 60);
    await world.settled(60, 30_000);
    expect(seen.most).toBe(3);
    expect(world.requests('x')).toHaveLength(60);
    await Promise.all(children.map((child) => child.stop()));
  }, 90_000);

  it('has the slots of a process that was killed back with its leases, and not sooner', async () => {
    const answersAgain = world.receiver.answerWhere({ path: '/x' }, { instead: 'never' });
    const producer = await world.start({ role: 'producer' });
    await limited(producer, 'x', 4);
    await world.endpoint(producer, 'free', { types: ['free'] });
    const killed = await startRelay();
    await send(producer, 'x', 8);
    await world.received('x', 4);
    killed.signal('SIGKILL');
    await killed.exited;
    answersAgain();
    const next = await startRelay();
    // Each is found by a look of its own, which sees the others too.
    for (let nth = 1; nth <= 3; nth++) {
      await send(producer, 'free', 1);
      await world.received('free', nth);
    }
    expect(world.requests('x')).toHaveLength(4);
    await world.admin.query(`UPDATE baton.webhook_deliveries SET lease_until = now() WHERE state = 'leased' AND id IN (
                               SELECT unnest(slot_ids) FROM baton.webhook_endpoint_states)`);
    await world.settled(11);
    expect(world.requests('x')).toHaveLength(12);
    await next.stop();
  }, 90_000);

  it('has the slots of a process that was stopped back at once', async () => {
    world.receiver.answer({ delayMs: 1_000 });
    const producer = await world.start({ role: 'producer' });
    await limited(producer, 'x', 4);
    const stopped = await startRelay();
    await send(producer, 'x', 6);
    await waitFor(async () => (await count('leased')) === 4, { description: 'all slots taken' });
    stopped.signal('SIGTERM');
    await stopped.exited;
    const next = await startRelay();
    await world.settled(6);
    expect(world.requests('x')).toHaveLength(6);
    await next.stop();
  }, 90_000);

  it('wakes the relay when a slot is free, with an hour between looks, and keeps nobody else waiting', async () => {
    world.receiver.answer(({ path }) => ({ delayMs: path === '/x' ? 50 : 0 }));
    const app = await world.start({ pollInterval: '1h', hints: 'on' });
    await limited(app, 'x', 1);
    await world.endpoint(app, 'free', { types: ['free'] });
    await send(app, 'x', 20);
    await send(app, 'free', 100);
    await world.received('free', 100);
    expect(world.requests('x').length).toBeLessThan(20);
    await world.settled(120, 20_000);
  });

  it('is heeded by deliver, which waits for a slot', async () => {
    const seen = watchInFlight(30);
    const app = await startWithQueue(world, new TestQueue(), { handOffGrace: '1h' });
    await limited(app, 'x', 2);
    const sent = await app.outbox.sendMany(Array.from({ length: 9 }, (_, data) => ({ type: 'x', data })));
    const all = await Promise.all(sent.map(({ outboxId }) => app.outbox.deliver(outboxId!)));
    expect(all.map(({ deliveries }) => deliveries[0]!.result)).toEqual(Array(9).fill('settled'));
    expect(seen.most).toBe(2);
  });

  it('frees the slots of deliveries that success has deleted', async () => {
    const app = await world.start({ retention: { delivered: 0 } });
    await limited(app, 'x', 2);
    await send(app, 'x', 20);
    await waitFor(async () => (await world.deliveries()).length === 0, { description: 'everything delivered' });
    expect(world.requests('x')).toHaveLength(20);
  });

  it('counts a probe, and deliveries that may crash their process', async () => {
    const app = await world.start({ role: 'producer' });
    for (const path of ['probed', 'suspect']) await limited(app, path, 1);
    for (const path of ['probed', 'suspect']) await send(app, path, 2);
    await world.admin.query(
      `UPDATE baton.webhook_deliveries d SET lease_losses = 2 FROM baton.webhook_events e WHERE e.id = d.event_id AND e.type = 'suspect'`,
    );
    await world.admin.query(
      `UPDATE baton.webhook_deliveries SET state = 'leased', fence = 5, lease_until = now() + interval '1 h' WHERE id % 2 = 0`,
    );
    await world.admin.query(
      `INSERT INTO baton.webhook_endpoint_states (endpoint_id, breaker, open_until, failures, failing_events, slot_ids, slot_fences)
       SELECT d.endpoint_id, CASE e.type WHEN 'probed' THEN 'open' ELSE 'closed' END, now() - interval '1 s', 20, 20, ARRAY[d.id], ARRAY[d.fence]
         FROM baton.webhook_deliveries d JOIN baton.webhook_events e ON e.id = d.event_id WHERE d.state = 'leased'`,
    );
    const worker = await world.start({ role: 'worker', pollInterval: '50ms' });
    await world.endpoint(app, 'after', { types: ['after'] });
    await send(app, 'after', 3);
    await world.settled(3);
    expect(world.requests('probed').length + world.requests('suspect').length).toBe(0);
    await world.admin.query(
      `UPDATE baton.webhook_deliveries SET state = 'delivered', settled_at = now() WHERE state = 'leased'`,
    );
    await world.settled(7);
    await worker.close();
  });
});

describe('claims of endpoints with globalMaxInFlight', () => {
  it('never take more than there are, however many claim and settle at one time', async () => {
    const app = await world.start({ role: 'producer' });
    await limited(app, 'x', 5);
    await send(app, 'x', 200);
    await world.admin.query(
      `CREATE FUNCTION baton.most_leased() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE n int; BEGIN
         SELECT count(*) INTO n FROM baton.webhook_deliveries WHERE state = 'leased';
         IF n > 5 THEN RAISE EXCEPTION 'there are % leased', n; END IF; RETURN NULL; END $$`,
    );
    await world.admin.query(
      `CREATE CONSTRAINT TRIGGER most AFTER UPDATE ON baton.webhook_deliveries DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION baton.most_leased()`,
    );
    const settled: string[] = [];
    const work = async (): Promise<void> => {
      const store = new ClaimsByLimit(
        new ClaimStore(world.admin, '"baton"'),
        new LimitedCircle(world.admin, '"baton"'),
      );
      while (settled.length < 200) {
        const request = { limit: 3, leaseMs: 60_000, maxInFlight: 100, held: new Map<string, number>() };
        for (const { id, fence } of await store.claim(request)) {
          const { rowCount } = await world.admin.query(
            `UPDATE baton.webhook_deliveries SET state = 'delivered', settled_at = now() WHERE id = $1 AND fence = $2 AND state = 'leased'`,
            [id, fence],
          );
          if (rowCount === 1) settled.push(id);
        }
      }
    };
    await Promise.all([work(), work(), work()]);
    expect(new Set(settled).size).toBe(200);
  });
});
