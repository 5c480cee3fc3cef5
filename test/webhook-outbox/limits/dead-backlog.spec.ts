import { type OutboxApp, OutboxWorld } from '../support/outbox-world.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

const HEALTHY = 60;

/** How long the last of the healthy ones took, in ms, beside so many that are due for longer and go to an endpoint that never answers. */
async function lastOf(app: OutboxApp, round: string, dead: number): Promise<number> {
  if (dead > 0) {
    await app.outbox.send({ type: 'dead', data: round });
    // Copies of it, all older than anything else.
    await world.admin.query(
      `WITH one AS (SELECT * FROM baton.webhook_events WHERE type = 'dead' ORDER BY created_at DESC LIMIT 1), copies AS (
         INSERT INTO baton.webhook_events (id, tenant, dedupe_key, type, body, content_hash, created_at)
         SELECT gen_random_uuid(), tenant, dedupe_key || n, type, body, content_hash, created_at FROM one, generate_series(1, $1::int) n RETURNING id)
       INSERT INTO baton.webhook_deliveries (event_id, endpoint_id, state, next_at, fence, attempts, lease_losses, created_at)
       SELECT copies.id, e.id, 'ready', now() - interval '1 h', 0, 0, 0, now() FROM copies, baton.webhook_endpoints e WHERE e.types = '{dead}'`,
      [dead],
    );
  }
  const before = world.requests('healthy').length;
  const begun = performance.now();
  await app.outbox.sendMany(
    Array.from({ length: HEALTHY }, (_, data) => ({ type: 'healthy', data: `${round} ${data}` })),
  );
  await world.received('healthy', before + HEALTHY, 30_000);
  return performance.now() - begun;
}

describe('a backlog of which most goes to an endpoint that never answers', () => {
  it.each([
    ['half', HEALTHY],
    ['99 %', HEALTHY * 99],
    ['nearly all', 30_000],
  ])(
    '%s of it: the others do not wait behind it',
    async (_share, dead) => {
      world.receiver.answer(({ path }) => (path === '/dead' ? { instead: 'never' } : {}));
      const app = await world.start({
        lease: '25s',
        requestTimeout: '20s',
        shutdownTimeout: '100ms',
        breakerFailures: 0,
      });
      await world.endpoint(app, 'dead', { types: ['dead'] });
      await world.endpoint(app, 'healthy', { types: ['healthy'] });
      await lastOf(app, 'warm', 0);
      const alone = await lastOf(app, 'alone', 0);
      const beside = await lastOf(app, 'beside', dead);
      // Behind them it would take a round of timeouts, 20 s, for each 32; the ratio is measured by the benchmark.
      expect(beside).toBeLessThan(Math.max(10 * alone, 15_000));
      expect(world.requests('dead').length).toBeLessThanOrEqual(64);
    },
    90_000,
  );
});
