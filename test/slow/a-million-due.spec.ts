import { claimer } from '../webhook-outbox/support/claimer.js';
import { OutboxWorld } from '../webhook-outbox/support/outbox-world.js';

const ENDPOINTS = 20;
const EVENTS = 50_000;
const RATE = { perSecond: 20, burst: 20 };
/** What a process of Node weighs anyway, and far from a million of anything. */
const MOST_GROWTH = 150 * 1024 * 1024;

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

describe('a million deliveries that are due', () => {
  it('after an outage are sent by all endpoints in turn, within their rates, claims and memory staying small', async () => {
    const app = await world.start({ role: 'producer' });
    const paths = Array.from({ length: ENDPOINTS }, (_, nth) => `p${nth}`);
    for (const [nth, path] of paths.entries())
      await app.endpoints.create({ url: `${world.receiver.url}${path}`, ...(nth === 0 && { rate: RATE }) });
    await world.admin.query(
      `INSERT INTO baton.webhook_events (id, tenant, dedupe_key, type, body, content_hash, created_at)
       SELECT gen_random_uuid(), '', n::text, 'a', '{}', '', now() FROM generate_series(1, $1::int) n`,
      [EVENTS],
    );
    await world.admin.query(
      `INSERT INTO baton.webhook_deliveries (event_id, endpoint_id, state, next_at, fence, attempts, lease_losses, created_at)
       SELECT e.id, p.id, 'ready', now() - interval '6 h', 0, 0, 0, now() FROM baton.webhook_events e, baton.webhook_endpoints p`,
    );
    await world.admin.query('ANALYZE baton.webhook_deliveries');
    const before = process.memoryUsage().heapUsed;
    const begun = Date.now();
    await world.start({ role: 'worker' });
    const claim = claimer(world.admin, 600_000);
    const took: number[] = [];
    for (let nth = 0; nth < 40; nth++) {
      const since = performance.now();
      const claims = await claim(100);
      took.push(performance.now() - since);
      expect(claims.length).toBeGreaterThan(0);
    }
    // The target of the benchmark is 15 ms on a machine that does nothing else.
    expect(took.sort((a, b) => a - b)[20]).toBeLessThan(300);
    await world.received('p1', 200, 120_000);
    const counts = paths.map((path) => world.requests(path).length);
    world
      .requests('p0')
      .forEach(({ receivedAt }, nth) =>
        expect(nth + 1).toBeLessThanOrEqual(RATE.burst + (RATE.perSecond * (receivedAt - begun)) / 1_000 + 1),
      );
    expect(counts[0]).toBeGreaterThan(0);
    expect(Math.min(...counts.slice(1))).toBeGreaterThan(50);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(MOST_GROWTH);
  }, 300_000);
});
