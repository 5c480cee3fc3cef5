import { StallMeter, startProcess, waitFor } from '@nest-baton/testing';
import type { EndpointRate, WebhookOutboxOptions } from '@nest-baton/webhook-outbox';
import { ClaimStore } from '../../../libs/webhook-outbox/src/claiming/claim-store.js';
import { ClaimsByLimit } from '../../../libs/webhook-outbox/src/claiming/claims-by-limit.js';
import { LimitedCircle } from '../../../libs/webhook-outbox/src/claiming/limited-circle.js';
import { type OutboxApp, OutboxWorld, TEST_OPTIONS } from '../support/outbox-world.js';
import { startWithQueue, TestQueue } from '../support/queue-app.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

/** So slow that no token comes while a test runs. */
const NEVER_AGAIN = 0.001;

async function limited(app: OutboxApp, path: string, rate: EndpointRate): Promise<string> {
  const { id } = await app.endpoints.create({ url: `${world.receiver.url}${path}`, types: [path], rate });
  return id;
}

async function send(app: OutboxApp, type: string, count: number): Promise<void> {
  await app.outbox.sendMany(Array.from({ length: count }, (_, data) => ({ type, data })));
}

async function startRelay(options: WebhookOutboxOptions) {
  const child = await startProcess({
    entry: 'test/webhook-outbox/support/relay-program.ts',
    args: [world.url, JSON.stringify({ ...TEST_OPTIONS, ...options })],
  });
  await child.waitForLine(/^ready$/);
  return child;
}

async function states(): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { type, state } of await world.deliveries())
    counts[`${type} ${state}`] = (counts[`${type} ${state}`] ?? 0) + 1;
  return counts;
}

describe('the rate of an endpoint', () => {
  it('is never exceeded by two processes together, and is used', async () => {
    const rate = { perSecond: 50, burst: 100 };
    const producer = await world.start({ role: 'producer' });
    await limited(producer, 'x', rate);
    const children = await Promise.all([startRelay({}), startRelay({})]);
    const stalls = StallMeter.start();
    const begun = Date.now();
    await send(producer, 'x', 400);
    await world.settled(400, 60_000);
    const stalledMs = stalls.stop();
    const times = world.requests('x').map(({ receivedAt }) => receivedAt - begun);
    expect(times).toHaveLength(400);
    times.forEach((ms, nth) => expect(nth + 1).toBeLessThanOrEqual(rate.burst + (rate.perSecond * ms) / 1_000 + 1));
    const { rows } = await world.admin.query<{ came: number; tokens: number }>(
      `SELECT s.tokens, ($1 + $2 * extract(epoch FROM s.tokens_at - (SELECT min(started_at) FROM baton.webhook_attempts)))::float8 AS came
         FROM baton.webhook_endpoint_states s`,
      [rate.burst, rate.perSecond],
    );
    // What came and is neither used nor left was lost in a bucket that was full: only a standstill of two seconds does that.
    const lost = rate.perSecond * Math.max(0, stalledMs / 1_000 - rate.burst / rate.perSecond);
    expect(400 + rows[0]!.tokens + lost).toBeGreaterThanOrEqual(0.9 * rows[0]!.came);
    const relays = await Promise.all(children.map((child) => child.stop()));
    expect(relays).toHaveLength(2);
  });

  it('keeps nobody else waiting', async () => {
    const app = await world.start();
    await limited(app, 'slow', { perSecond: NEVER_AGAIN, burst: 2 });
    await world.endpoint(app, 'free', { types: ['free'] });
    await send(app, 'slow', 300);
    await send(app, 'free', 300);
    await world.received('free', 300, 20_000);
    await waitFor(async () => (await states())['free delivered'] === 300, { description: 'all of the others' });
    expect(await states()).toEqual({ 'free delivered': 300, 'slow delivered': 2, 'slow ready': 298 });
  });

  it('wakes the relay when the next token comes, and not before', async () => {
    const app = await world.start({ pollInterval: '1h', hints: 'on' });
    let statements = 0;
    const pool = (app.dataSource.driver as unknown as { master: NodeJS.EventEmitter }).master;
    pool.on('acquire', () => statements++);
    await limited(app, 'x', { perSecond: 2, burst: 1 });
    await send(app, 'x', 5);
    await world.settled(5, 30_000);
    const times = world.requests('x').map(({ receivedAt }) => receivedAt);
    expect(times[4]! - times[0]!).toBeGreaterThanOrEqual(1_990);
    expect(statements).toBeLessThan(150);
  });

  it('holds whatever the database’s clock did', async () => {
    const app = await world.start({ role: 'producer' });
    await limited(app, 'back', { perSecond: 20, burst: 2 });
    await limited(app, 'forth', { perSecond: NEVER_AGAIN, burst: 3 });
    await world.admin.query(
      `INSERT INTO baton.webhook_endpoint_states (endpoint_id, breaker, failures, failing_events, tokens, tokens_at)
       SELECT id, 'closed', 0, 0, 0, now() + CASE types[1] WHEN 'back' THEN interval '10 min' ELSE interval '-10 days' END
         FROM baton.webhook_endpoints`,
    );
    await send(app, 'back', 5);
    await send(app, 'forth', 5);
    await world.start({ role: 'worker' });
    await waitFor(async () => (await states())['back delivered'] === 5, { description: 'the tokens after the step' });
    expect(await states()).toEqual({ 'back delivered': 5, 'forth delivered': 3, 'forth ready': 2 });
  });

  it('counts probes of an open breaker, and deliveries that may crash their process', async () => {
    const app = await world.start({ role: 'producer' });
    for (const path of ['probed', 'suspect']) await limited(app, path, { perSecond: NEVER_AGAIN, burst: 1 });
    await limited(app, 'empty', { perSecond: NEVER_AGAIN, burst: 1 });
    for (const path of ['probed', 'suspect', 'empty']) await send(app, path, 3);
    await world.admin.query(
      `UPDATE baton.webhook_deliveries d SET lease_losses = 2 FROM baton.webhook_events e WHERE e.id = d.event_id AND e.type = 'suspect'`,
    );
    await world.admin.query(
      `INSERT INTO baton.webhook_endpoint_states (endpoint_id, breaker, open_until, failures, failing_since, failing_events, tokens, tokens_at)
       SELECT id, 'open', now() - interval '1 s', 20, now(), 20, CASE types[1] WHEN 'empty' THEN 0 END, now()
         FROM baton.webhook_endpoints WHERE types[1] <> 'suspect'`,
    );
    await world.start({ role: 'worker', pollInterval: '50ms' });
    await world.settled(2);
    await world.start({ role: 'worker', pollInterval: '50ms' });
    await world.endpoint(app, 'after', { types: ['after'] });
    await send(app, 'after', 1);
    await world.settled(3);
    expect(await states()).toMatchObject({ 'probed delivered': 1, 'suspect delivered': 1, 'empty ready': 3 });
    const { rows } = await world.admin.query<{ breaker: string; tokens: number }>(
      `SELECT s.* FROM baton.webhook_endpoint_states s JOIN baton.webhook_endpoints e ON e.id = s.endpoint_id ORDER BY e.types`,
    );
    expect(rows.map(({ breaker }) => breaker)).toEqual(['open', 'closed', 'closed']);
    for (const { tokens } of rows) expect(tokens).toBeLessThan(0.5);
  });

  it('is as it was used after the endpoint was disabled and enabled, and is gone with null', async () => {
    const app = await world.start();
    const id = await limited(app, 'x', { perSecond: NEVER_AGAIN, burst: 1 });
    await send(app, 'x', 1);
    await world.settled(1);
    await app.endpoints.disable(id);
    await app.endpoints.enable(id);
    await world.endpoint(app, 'other', { types: ['x'] });
    await send(app, 'x', 1);
    await world.received('other', 1);
    expect(world.requests('x')).toHaveLength(1);
    await app.endpoints.update(id, { rate: null });
    await world.received('x', 2);
  });

  it('is what deliver says when a token is missing, and a queue’s events go all the same', async () => {
    const queue = new TestQueue();
    const app = await startWithQueue(world, queue, { handOffGrace: '1h' });
    await limited(app, 'x', { perSecond: 0.01, burst: 2 });
    const sent = await app.outbox.sendMany([1, 2, 3].map((data) => ({ type: 'x', data })));
    const begun = Date.now();
    const summaries = [];
    for (const { outboxId } of sent) summaries.push(await app.outbox.deliver(outboxId!));
    expect(summaries.map(({ deliveries }) => deliveries[0]!.result)).toEqual(['settled', 'settled', 'retryAt']);
    const { retryAt } = summaries[2]!.deliveries[0] as unknown as { retryAt: Date };
    expect(retryAt.getTime() - begun).toBeGreaterThan(80_000);
    expect(retryAt.getTime() - begun).toBeLessThan(130_000);
  });

  it('is used where a queue says what to send: the sweep tells it again when there may be tokens', async () => {
    const queue: TestQueue = new TestQueue(({ outboxId }) => app.outbox.deliver(outboxId!));
    const app: OutboxApp = await startWithQueue(world, queue);
    await limited(app, 'x', { perSecond: 20, burst: 5 });
    const begun = Date.now();
    await send(app, 'x', 30);
    await world.settled(30, 30_000);
    world
      .requests('x')
      .forEach(({ receivedAt }, nth) =>
        expect(nth + 1).toBeLessThanOrEqual(5 + (20 * (receivedAt - begun)) / 1_000 + 1),
      );
  });
});

describe('claims of endpoints with a rate', () => {
  it('take each token once, however many claim at one time', async () => {
    const app = await world.start({ role: 'producer' });
    await limited(app, 'x', { perSecond: NEVER_AGAIN, burst: 50 });
    await limited(app, 'y', { perSecond: NEVER_AGAIN, burst: 7 });
    for (const type of ['x', 'y']) await send(app, type, 100);
    const stores = Array.from(
      { length: 4 },
      () => new ClaimsByLimit(new ClaimStore(world.admin, '"baton"'), new LimitedCircle(world.admin, '"baton"')),
    );
    const claimed: string[] = [];
    for (let round = 0; round < 20; round++) {
      const request = { limit: 9, leaseMs: 60_000, maxInFlight: 100, held: new Map<string, number>() };
      const all = await Promise.all(stores.map((store) => store.claim(request)));
      claimed.push(...all.flat().map(({ id }) => id));
    }
    expect(new Set(claimed).size).toBe(claimed.length);
    expect(await states()).toEqual({ 'x leased': 50, 'x ready': 50, 'y leased': 7, 'y ready': 93 });
  });

  it('go round more endpoints than one statement looks at', async () => {
    await world.start({ role: 'producer' });
    await world.admin.query(
      `INSERT INTO baton.webhook_endpoints (id, tenant, url, types, header_names, rate_per_second, rate_burst, state, version, created_at, updated_at)
       SELECT lpad(to_hex(n), 32, '0')::uuid, '', 'http://127.0.0.1/', '{*}', '{}', 0.001, 1, 'active', 1, now(), now() FROM generate_series(1, 2500) n`,
    );
    await world.admin.query(
      `INSERT INTO baton.webhook_deliveries (event_id, endpoint_id, state, next_at, fence, attempts, lease_losses, created_at)
       SELECT gen_random_uuid(), id, 'ready', now(), 0, 0, 0, now() FROM baton.webhook_endpoints, generate_series(1, 2)`,
    );
    await world.admin.query(
      `INSERT INTO baton.webhook_events (id, tenant, dedupe_key, type, body, content_hash, created_at)
       SELECT event_id, '', id::text, 'a', '{}', '', now() FROM baton.webhook_deliveries`,
    );
    const store = new LimitedCircle(world.admin, '"baton"');
    const request = { limit: 400, leaseMs: 60_000, maxInFlight: 100, held: new Map<string, number>() };
    const turns = new Map<string, number>();
    for (let call = 0; call < 12; call++)
      for (const { endpointId } of await store.claim(request)) turns.set(endpointId, (turns.get(endpointId) ?? 0) + 1);
    expect(turns.size).toBe(2_500);
    expect(new Set(turns.values())).toEqual(new Set([1]));
    expect(store.tokenInMs).toBeGreaterThan(100_000);
  });
});
