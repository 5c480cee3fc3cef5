import { type ChildWorker, startPostgres, startProcess, waitFor } from '@nest-baton/testing';
import { LineHistory } from './line-history.js';
import { keyed } from './lines.js';
import { type OutboxApp, OutboxWorld, TEST_OPTIONS } from '../support/outbox-world.js';

const KEYS = ['a', 'b', 'c', 'd'];
const OPTIONS = {
  ...TEST_OPTIONS,
  lease: '1500ms',
  requestTimeout: '1s',
  schedule: Array.from({ length: 60 }, () => 30),
  // A receiver that fails at random must not be left alone: that is another test.
  breakerFailures: 1_000,
} as const;

let postgres: Awaited<ReturnType<typeof startPostgres>>;
let world: OutboxWorld;
beforeAll(async () => {
  // The server itself says in which order transactions committed.
  postgres = await startPostgres({ exclusive: true, settings: { track_commit_timestamp: 'on' } });
});
afterAll(() => postgres.stop());
beforeEach(async () => void (world = await OutboxWorld.create(postgres.url)));
afterEach(() => world.stop());

function chance(probability: number): boolean {
  return Math.random() < probability;
}

async function startRelay(): Promise<ChildWorker> {
  const child = await startProcess({
    entry: 'test/webhook-outbox/support/relay-program.ts',
    args: [world.url, JSON.stringify({ ...OPTIONS, role: 'worker' })],
  });
  await child.waitForLine(/^ready$/);
  return child;
}

/** Sends events in transactions of one to three, some of which are rolled back, and some of which the database ends as they wait in a circle. */
async function produce(app: OutboxApp, numbers: () => number, isOver: () => boolean): Promise<void> {
  const runner = app.dataSource.createQueryRunner();
  const one = () => keyed(numbers(), KEYS[Math.floor(Math.random() * KEYS.length)]);
  while (!isOver()) {
    await runner.startTransaction();
    try {
      for (let left = 1 + Math.floor(Math.random() * 2); left > 0; left--)
        if (chance(0.3)) await app.outbox.sendMany([one(), one(), one()], { transaction: runner });
        else await app.outbox.send(one(), { transaction: runner });
      if (chance(0.5)) await runner.query('SELECT pg_sleep($1)', [Math.random() / 50]);
      if (chance(0.25)) throw new Error('changed its mind');
      await runner.commitTransaction();
    } catch {
      await runner.rollbackTransaction();
    }
  }
  await runner.release();
}

/** Numbers of a key as the server committed them; those of one transaction in the order in which they were sent. */
async function committed(key: string): Promise<number[]> {
  const { rows } = await world.admin.query<{ n: number }>(
    `SELECT (body::jsonb #>> '{data,n}')::int AS n FROM baton.webhook_events WHERE order_key = $1
      ORDER BY pg_xact_commit_timestamp(xmin), (body::jsonb #>> '{data,n}')::int`,
    [key],
  );
  return rows.map(({ n }) => n);
}

/** Of each number, requests of which nobody knew the outcome in time. */
async function lostLeases(): Promise<Map<number, number>> {
  const { rows } = await world.admin.query<{ n: number; lost: number }>(
    `SELECT (e.body::jsonb #>> '{data,n}')::int AS n, count(*)::int AS lost
       FROM baton.webhook_attempts a JOIN baton.webhook_deliveries d ON d.id = a.delivery_id JOIN baton.webhook_events e ON e.id = d.event_id
      WHERE a.is_late OR a.outcome = 'unknown' OR a.reason = 'timeout' GROUP BY 1`,
  );
  return new Map(rows.map(({ n, lost }) => [n, lost]));
}

async function expectOrder(history: LineHistory): Promise<void> {
  const lost = await lostLeases();
  for (const key of KEYS) {
    const order = await committed(key);
    expect(history.firstSuccesses(key)).toEqual(order);
    expect(history.tooEarly(key, order)).toEqual([]);
    for (const [n, count] of history.repetitions(key))
      expect({ n, isByLostLease: count <= (lost.get(n) ?? 0) }).toEqual({ n, isByLostLease: true });
  }
}

async function allDelivered(timeoutMs: number): Promise<void> {
  const open = async () =>
    (
      await world.admin.query<{ n: number }>(
        `SELECT count(*)::int AS n FROM baton.webhook_deliveries WHERE state <> 'delivered'`,
      )
    ).rows[0]!.n;
  await waitFor(async () => (await open()) === 0, { timeoutMs, description: 'all to be delivered' });
}

describe('whatever many producers commit, and however relays fare', () => {
  it('reaches the receiver in the order of commits, of each key one at a time', async () => {
    const history = new LineHistory(world, 'x', () => {
      if (chance(0.02)) return { instead: 'never' };
      if (chance(0.05)) return { instead: 'reset', delayMs: 20 };
      return { status: chance(0.15) ? 500 : 204, delayMs: Math.random() * 30 };
    });
    const app = await world.start({ ...OPTIONS, role: 'producer' }, 16);
    await world.endpoint(app, 'x', { order: 'strict' });
    const relays = await Promise.all([startRelay(), startRelay(), startRelay()]);
    let next = 0;
    let isOver = false;
    const producers = Array.from({ length: 8 }, () =>
      produce(
        app,
        () => next++,
        () => isOver || next > 400,
      ),
    );
    for (let round = 0; round < 8; round++) {
      const at = round % relays.length;
      const victim = relays[at]!;
      await waitFor(() => chance(0.2), { description: 'some moment' });
      if (round % 2 === 0) {
        victim.signal('SIGKILL');
        await victim.exited;
        relays[at] = await startRelay();
      } else {
        victim.signal('SIGSTOP');
        await app.dataSource.query('SELECT pg_sleep(2)');
        victim.signal('SIGCONT');
      }
    }
    isOver = true;
    await Promise.all(producers);
    await allDelivered(60_000);
    await expectOrder(history);
    for (const relay of relays) relay.signal('SIGKILL');
    await Promise.all(relays.map(({ exited }) => exited));
  }, 120_000);
});
