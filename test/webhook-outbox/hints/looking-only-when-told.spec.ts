import { waitFor } from '@nest-baton/testing';
import { createHeldWorld, type HeldReceiver, type HeldWorld } from '../support/held-receiver.js';
import type { OutboxApp, OutboxWorld } from '../support/outbox-world.js';

let held: HeldWorld;
let world: OutboxWorld;
let receiver: HeldReceiver;
beforeEach(async () => {
  held = await createHeldWorld();
  ({ world, receiver } = held);
});
afterEach(() => held.stop());

/** Statements that the application has sent to its database since, claims and idle looks. */
function statementsOf({ dataSource: { logger } }: OutboxApp): { readonly claims: number; readonly looks: number } {
  const counts = { claims: 0, looks: 0 };
  const logQuery = logger.logQuery.bind(logger);
  logger.logQuery = (query, parameters, runner) => {
    if (query.includes('slice AS MATERIALIZED')) counts.claims++;
    if (query.includes('expired AS')) counts.looks++;
    logQuery(query, parameters, runner);
  };
  return counts;
}

describe('a relay asks its database for deliveries', () => {
  it('when an event is committed, and not when a request ends that has left slots free', async () => {
    const app = await world.start({ pollInterval: '60s' });
    await app.endpoints.create({ url: `${receiver.url}/x` });
    const statements = statementsOf(app);
    for (let nth = 1; nth <= 5; nth++) {
      await app.outbox.send({ type: 'a', data: nth });
      await waitFor(() => receiver.count('/x') === nth, { description: `request ${nth}` });
      const { claims } = statements;
      expect(claims).toBeGreaterThanOrEqual(nth);
      receiver.answer('/x');
      await world.settled(nth);
      expect(statements.claims).toBe(claims);
    }
  });

  it('and not when its look for expired leases has just said that nothing is due', async () => {
    const app = await world.start({ pollInterval: '1s' });
    await world.endpoint(app, 'x');
    await app.outbox.send({ type: 'a', data: 1 });
    await world.settled(1);
    const statements = statementsOf(app);
    await waitFor(() => statements.looks >= 5, { timeoutMs: 30_000, description: 'idle looks' });
    // Now and then a claim looks at everything.
    expect(statements.claims).toBeLessThanOrEqual(1);
    // Due without a hint, so that only a look can tell.
    await world.admin.query(
      `UPDATE baton.webhook_deliveries SET state = 'ready', next_at = clock_timestamp(), settled_at = NULL`,
    );
    await world.received('x', 2);
  });
});
