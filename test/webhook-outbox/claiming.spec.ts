import { type Clock, systemClock } from '@nest-baton/core';
import { ClaimStore } from '../../libs/webhook-outbox/src/claiming/claim-store.js';
import { insertDue } from './support/due-deliveries.js';
import { OutboxWorld } from './support/outbox-world.js';

let world: OutboxWorld;
beforeEach(async () => {
  world = await OutboxWorld.create();
  await world.start({ role: 'producer' });
});
afterEach(() => world.stop());

/** Endpoints in order of their ids, each with so many deliveries, due for an hour. */
async function fill(endpoints: number, deliveries: number, nth = `true`): Promise<void> {
  await world.admin.query(
    `INSERT INTO baton.webhook_endpoints (id, tenant, url, types, header_names, state, version, created_at, updated_at)
     SELECT lpad(to_hex(n), 32, '0')::uuid, '', 'http://127.0.0.1/', '{*}', '{}', 'active', 1, now(), now() FROM generate_series(1, $1::int) n`,
    [endpoints],
  );
  await insertDue(world.admin, { events: deliveries, dueFor: '1 h', endpoints: nth });
}

function request(limit: number) {
  return { limit, leaseMs: 60_000, maxInFlight: 32, held: new Map<string, number>() };
}

describe('a claim', () => {
  it('goes round all endpoints in slices, and finds what is due wherever it is', async () => {
    await fill(2_500, 1, 'nth IN (1, 999, 1000, 1001, 2000, 2001, 2500)');
    const store = new ClaimStore(world.admin, '"baton"');
    expect(await store.claim(request(100))).toHaveLength(7);
    expect(await store.claim(request(100))).toHaveLength(0);
    await world.admin.query(`UPDATE baton.webhook_deliveries SET state = 'ready'`);
    expect(await store.claim(request(100))).toHaveLength(7);
  });

  it('takes from where the last one ended, so that each endpoint has its turn', async () => {
    await fill(1_200, 2);
    const store = new ClaimStore(world.admin, '"baton"');
    const turns = new Map<string, number>();
    for (let call = 0; call < 6; call++)
      for (const { endpointId } of await store.claim({ ...request(200), maxInFlight: 1 }))
        turns.set(endpointId, (turns.get(endpointId) ?? 0) + 1);
    expect(turns.size).toBe(1_200);
    expect(new Set(turns.values())).toEqual(new Set([1]));
  });

  it('walks only what came since, and finds what came in behind with the full look, which is counted', async () => {
    await fill(1, 20);
    let nowMs = 0;
    const clock: Clock = { ...systemClock, monotonic: () => nowMs };
    const late: number[] = [];
    const store = new ClaimStore(world.admin, '"baton"', (count) => late.push(count), clock);
    await world.admin.query(
      `UPDATE baton.webhook_deliveries SET next_at = now() - CASE WHEN id % 2 = 0 THEN interval '1 s' ELSE interval '1 h' END`,
    );
    const behind = `UPDATE baton.webhook_deliveries SET state = $1 WHERE next_at < now() - interval '1 min'`;
    await world.admin.query(behind, ['elsewhere']);
    expect(await store.claim(request(100))).toHaveLength(10);
    await world.admin.query(behind, ['ready']);
    nowMs = 9_999;
    expect(await store.claim(request(100))).toHaveLength(0);
    nowMs = 10_000;
    expect(await store.claim(request(100))).toHaveLength(10);
    expect(late).toEqual([10]);
  });

  it('leaves to others what they have locked, and takes nothing twice', async () => {
    await fill(3, 100);
    const stores = Array.from({ length: 3 }, () => new ClaimStore(world.admin, '"baton"'));
    const claimed: string[] = [];
    for (let call = 0; call < 6; call++)
      for (const claims of await Promise.all(stores.map((store) => store.claim(request(40)))))
        claimed.push(...claims.map(({ id }) => id));
    while (claimed.length < 300) {
      const claims = await stores[0]!.claim(request(40));
      if (claims.length === 0) break;
      claimed.push(...claims.map(({ id }) => id));
    }
    expect(claimed).toHaveLength(300);
    expect(new Set(claimed).size).toBe(300);
  });
});
