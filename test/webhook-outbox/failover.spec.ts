import { waitFor } from '@nest-baton/testing';
import { header, OutboxWorld } from './support/outbox-world.js';

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

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
    world.receiver.answer({ delayMs: 400 });
    const app = await world.start({ lease: '5s', requestTimeout: '2s' });
    await world.endpoint(app, 'x');
    const before = await app.outbox.sendMany(Array.from({ length: 20 }, (_, data) => ({ type: 'a', data })));
    await world.received('x', 20);
    await fail('read-only');
    await cutAll();
    // Each connection of the pool is one of these now, and the pool hands it out again.
    for (let nth = 0; nth < 12; nth++)
      await expect(app.outbox.send({ type: 'a', data: 'refused' })).rejects.toMatchObject({ code: '25006' });
    expect((await app.outbox.stats()).relay).toMatchObject({ unsettled: 20, leasesLost: 0 });
    await fail('writable');
    // Nobody ends the sessions that were opened meanwhile.
    let sent: { readonly id: string } | undefined;
    await waitFor(
      async () => {
        sent = await app.outbox.send({ type: 'a', data: 'after', id: 'after' }).catch(() => undefined);
        return sent !== undefined;
      },
      { description: 'a send that succeeds' },
    );
    const rows = await world.settled(21, 20_000);
    expect(rows.every(({ state, attempts }) => state === 'delivered' && attempts === 1)).toBe(true);
    expect(new Set(world.requests('x').map((request) => header(request, 'webhook-id'))).size).toBe(21);
    expect(world.requests('x')).toHaveLength(21);
    expect(before).toHaveLength(20);
    await waitFor(async () => (await app.outbox.health()).state === 'up', { description: 'health' });
  });
});
