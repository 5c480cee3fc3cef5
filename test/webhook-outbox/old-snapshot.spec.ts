import type { Queryable } from '@nest-baton/core';
import pg from 'pg';
import { claimer } from './support/claimer.js';
import { OutboxWorld } from './support/outbox-world.js';

let world: OutboxWorld;
let old: pg.Client;
beforeEach(async () => {
  world = await OutboxWorld.create();
  old = new pg.Client({ connectionString: world.url });
  await old.connect();
});
afterEach(async () => {
  await old.end();
  await world.stop();
});

/** From now on nothing that changes can be forgotten by the server. */
async function openSnapshot(): Promise<void> {
  await old.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
  await old.query('SELECT count(*) FROM baton.webhook_deliveries');
}

/** Deliveries of 20 events for each endpoint, as if ten seconds lay between one call and the next. */
async function makeDue(nth: number): Promise<void> {
  await world.admin.query(
    `WITH event AS (
       INSERT INTO baton.webhook_events (id, tenant, dedupe_key, type, body, content_hash, created_at)
       SELECT gen_random_uuid(), '', $1::int || ' ' || n, 'a', '{}', '', now() FROM generate_series(1, 20) n RETURNING id)
     INSERT INTO baton.webhook_deliveries (event_id, endpoint_id, state, next_at, fence, attempts, lease_losses, created_at)
     SELECT event.id, e.id, 'ready', now() - interval '1 h' + $1::int * interval '10 s', 0, 0, 0, now() FROM event, baton.webhook_endpoints e`,
    [nth],
  );
}

/** The pages that each statement touches, measured by running it once more and taking that back. */
function measured(pages: number[]): Queryable {
  return {
    query: async <Row>(text: string, values: readonly unknown[] = []) => {
      const client = await world.admin.connect();
      try {
        await client.query('BEGIN');
        const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: Record<string, number> }] }>(
          `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`,
          [...values],
        );
        const [{ Plan }] = rows[0]!['QUERY PLAN'];
        pages.push(Plan['Shared Hit Blocks']! + Plan['Shared Read Blocks']!);
        await client.query('ROLLBACK');
      } finally {
        client.release();
      }
      const { rows, rowCount } = await world.admin.query(text, [...values]);
      return { rows: rows as Row[], rowCount: rowCount ?? 0 };
    },
  };
}

function median(of: readonly number[]): number {
  return of.toSorted((a, b) => a - b)[of.length >> 1]!;
}

describe('a snapshot that is open for long', () => {
  it('does not make claims read what has been claimed and settled since it was taken', async () => {
    const app = await world.start({ role: 'producer' });
    for (const path of ['a', 'b']) await world.endpoint(app, path);
    const pages: number[] = [];
    const claim = claimer(measured(pages), 60_000);
    await openSnapshot();
    const byRound: number[] = [];
    for (let round = 0; round < 10; round++) {
      for (let nth = 0; nth < 10; nth++) {
        await makeDue(round * 10 + nth);
        const ids = (await claim(100)).map(({ id }) => id);
        expect(ids).toHaveLength(40);
        await world.admin.query(
          `UPDATE baton.webhook_deliveries SET state = 'delivered', lease_until = NULL, settled_at = now() WHERE id = ANY ($1::bigint[])`,
          [ids],
        );
      }
      // One of them may be a full look.
      pages.length = 0;
      for (let nth = 0; nth < 3; nth++) expect(await claim(100)).toEqual([]);
      byRound.push(median(pages));
    }
    expect(byRound.at(-1)).toBeLessThan(2 * byRound[0]! + 20);
  }, 90_000);

  it('keeps nothing from being delivered once, retries included', async () => {
    world.receiver.answer((_request, nth) => ({ status: nth % 5 === 0 ? 500 : 204 }));
    const app = await world.start({ schedule: ['20ms', '20ms', '20ms', '20ms', '20ms'] });
    await world.endpoint(app, 'x');
    await openSnapshot();
    for (let batch = 0; batch < 5; batch++)
      await app.outbox.sendMany(Array.from({ length: 100 }, (_, data) => ({ type: 'a', data })));
    const rows = await world.settled(500);
    expect(rows.every(({ state }) => state === 'delivered')).toBe(true);
    expect(world.requests('x').filter(({ status }) => status === 204)).toHaveLength(500);
    expect((await old.query('SELECT count(*)::int AS n FROM baton.webhook_deliveries')).rows).toEqual([{ n: 0 }]);
  }, 90_000);
});
