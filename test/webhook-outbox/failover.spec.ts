import { waitFor } from '@nest-baton/testing';
import { createHeldWorld, type HeldReceiver, type HeldWorld } from './support/held-receiver.js';
import type { OutboxWorld } from './support/outbox-world.js';

const POOL_SIZE = 6;

let held: HeldWorld;
let world: OutboxWorld;
let receiver: HeldReceiver;
beforeEach(async () => {
  held = await createHeldWorld();
  ({ world, receiver } = held);
});
afterEach(() => held.stop());

/** New sessions are as this says; those that there are stay as they began, as behind a pooler or a name that has moved on. */
async function fail(over: 'read-only' | 'writable'): Promise<void> {
  const { rows } = await world.admin.query<{ name: string }>('SELECT quote_ident(current_database()) AS name');
  await world.admin.query(
    `ALTER DATABASE ${rows[0]!.name} SET default_transaction_read_only = ${over === 'read-only' ? 'on' : 'off'}`,
  );
}

async function cutAll(): Promise<void> {
  await world.admin.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
  );
}

describe('a failover to a server that only reads', () => {
  it('is outlived by relay and producers, without a restart, a loss or a request that is repeated', async () => {
    const app = await world.start({}, POOL_SIZE);
    await app.endpoints.create({ url: `${receiver.url}/x` });
    await app.outbox.sendMany(Array.from({ length: 20 }, (_, data) => ({ type: 'a', data })));
    await waitFor(() => receiver.count('/x') === 20, { description: 'requests' });
    await fail('read-only');
    await cutAll();
    receiver.openUp('/x');
    receiver.answer('/x');
    // Asking may meet one that was cut, too.
    const relay = async () => (await app.outbox.stats().catch(() => undefined))?.relay;
    await waitFor(async () => (await relay())?.unsettled === 20, { description: 'answers' });
    const codes: unknown[] = [];
    for (let nth = 0; nth < 4 * POOL_SIZE; nth++)
      codes.push(
        await app.outbox.send({ type: 'a', data: 'refused' }).then(
          () => 'stored',
          ({ code }: { code: unknown }) => code,
        ),
      );
    // One that was cut may be handed out before the pool has heard of its end: of that nobody knows what the server did.
    const refused = codes.filter((code) => code !== 'PERSIST_UNKNOWN');
    expect(new Set(refused)).toEqual(new Set(['25006']));
    expect(codes.length - refused.length).toBeLessThanOrEqual(POOL_SIZE);
    expect(await relay()).toMatchObject({ unsettled: 20, leasesLost: 0 });
    await fail('writable');
    // Nobody ends the sessions that were opened meanwhile.
    const isStored = async (): Promise<boolean> =>
      app.outbox.send({ type: 'a', data: 'after', id: 'after' }).then(
        () => true,
        () => false,
      );
    await waitFor(isStored, { description: 'a send that succeeds' });
    const rows = await world.settled(21);
    expect(rows.every(({ state, attempts }) => state === 'delivered' && attempts === 1)).toBe(true);
    expect(new Set(receiver.ids.get('/x')).size).toBe(21);
    expect(receiver.count('/x')).toBe(21);
    await waitFor(async () => (await app.outbox.health()).state === 'up', { description: 'health' });
  }, 90_000);
});
