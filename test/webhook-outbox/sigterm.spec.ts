import { startProcess, waitFor } from '@nest-baton/testing';
import { createHeldWorld, type HeldReceiver, type HeldWorld } from './support/held-receiver.js';
import { type OutboxWorld, TEST_OPTIONS } from './support/outbox-world.js';

const [FINISHING, HANGING, BUFFERED] = [100, 100, 500];
const OPTIONS = {
  ...TEST_OPTIONS,
  maxInFlight: 500,
  batchSize: 1_000,
  lease: '60s',
  requestTimeout: '50s',
  shutdownTimeout: '6s',
} as const;

let held: HeldWorld;
let world: OutboxWorld;
let receiver: HeldReceiver;
beforeEach(async () => {
  held = await createHeldWorld();
  ({ world, receiver } = held);
});
afterEach(() => held.stop());

/** Deliveries of a type in a state. */
async function count(type: string, state: string): Promise<number> {
  const { rows } = await world.admin.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM baton.webhook_deliveries d JOIN baton.webhook_events e ON e.id = d.event_id
      WHERE e.type = $1 AND d.state = $2`,
    [type, state],
  );
  return rows[0]?.n ?? -1;
}

describe('a relay that gets SIGTERM with 200 requests in flight and 500 deliveries buffered (scenario 9)', () => {
  it('hands back what is buffered at once, lets requests end, cuts the rest in time, and another goes on', async () => {
    const producer = await world.start({ ...OPTIONS, role: 'producer' });
    for (const type of ['finishing', 'hanging', 'buffered'])
      await producer.endpoints.create({ url: `${receiver.url}/${type}`, types: [type] });
    const send = (type: string, n: number) =>
      producer.outbox.sendMany(Array.from({ length: n }, (_, data) => ({ type, data })));
    const child = await startProcess({
      entry: 'test/webhook-outbox/support/relay-program.ts',
      args: [world.url, JSON.stringify(OPTIONS)],
    });
    await child.waitForLine(/^ready$/);
    await send('finishing', FINISHING);
    await send('hanging', HANGING);
    await waitFor(() => receiver.count('/finishing') === FINISHING && receiver.count('/hanging') === HANGING, {
      description: '200 requests to be in flight',
      timeoutMs: 20_000,
    });
    // What a relay reads of an endpoint that it does not know yet, between claim and request.
    const holder = await world.admin.connect();
    await holder.query('BEGIN');
    await holder.query('LOCK TABLE baton.webhook_secrets IN ACCESS EXCLUSIVE MODE');
    await send('buffered', BUFFERED);
    await waitFor(async () => (await count('buffered', 'leased')) === BUFFERED, { description: '500 to be buffered' });

    child.signal('SIGTERM');
    await waitFor(async () => (await count('buffered', 'ready')) === BUFFERED, {
      description: '500 to be handed back',
    });
    expect((await count('finishing', 'leased')) + (await count('hanging', 'leased'))).toBe(FINISHING + HANGING);
    receiver.answer('/finishing');
    await child.exited;
    expect(await count('finishing', 'delivered')).toBe(FINISHING);
    expect(await count('hanging', 'ready')).toBe(HANGING);

    await holder.query('ROLLBACK');
    holder.release();
    for (const path of ['/hanging', '/buffered']) receiver.openUp(path);
    await world.start({ ...OPTIONS, role: 'worker' });
    const rows = await world.settled(FINISHING + HANGING + BUFFERED, 20_000);
    expect(rows.every(({ state, lease_losses }) => state === 'delivered' && lease_losses === 0)).toBe(true);
    for (const { type, attempts } of rows) expect(attempts).toBe(type === 'hanging' ? 2 : 1);
    expect(receiver.count('/finishing')).toBe(FINISHING);
    expect(receiver.count('/buffered')).toBe(BUFFERED);
    expect(receiver.count('/hanging')).toBe(2 * HANGING);
    expect(new Set(receiver.ids.get('/hanging')).size).toBe(HANGING);
    expect(new Set(receiver.ids.get('/buffered')).size).toBe(BUFFERED);
  }, 120_000);
});
