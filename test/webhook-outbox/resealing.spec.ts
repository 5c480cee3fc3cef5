import type { WebhookKey } from '@nest-baton/webhook-outbox';
import { type OutboxApp, OutboxWorld, TEST_KEYS } from './support/outbox-world.js';

const NEW: WebhookKey = { id: 'new', key: Buffer.alloc(32, 8).toString('base64') };
const BOTH = [NEW, ...TEST_KEYS];

let world: OutboxWorld;
beforeEach(async () => void (world = await OutboxWorld.create()));
afterEach(() => world.stop());

/** The keys that something is sealed with. */
async function keysInUse(): Promise<string[]> {
  const { rows } = await world.admin.query<{ key: string }>(
    `SELECT DISTINCT key FROM (SELECT key_id AS key FROM baton.webhook_secrets
       UNION ALL SELECT unnest(ARRAY[headers_key_id, legacy_key_id]) FROM baton.webhook_endpoints) k WHERE key IS NOT NULL ORDER BY key`,
  );
  return rows.map(({ key }) => key);
}

/** Endpoints with everything that is sealed. */
async function endpoints(app: OutboxApp, count: number): Promise<string[]> {
  const made = await Promise.all(
    Array.from({ length: count }, (_, nth) =>
      app.endpoints.create({
        url: `${world.receiver.url}p${nth}`,
        headers: { 'x-token': `token ${nth}` },
        signatures: ['v1', 'v1a'],
        legacySignature: { scheme: 'hex', header: 'x-legacy', secret: `legacy key ${nth}` },
      }),
    ),
  );
  return made.map(({ id }) => id);
}

describe('reseal', () => {
  it('leaves nothing that needs the old key: requests are as before, and a process without it starts', async () => {
    const old = await world.start({ role: 'producer' });
    const ids = await endpoints(old, 3);
    await old.endpoints.rotateSecret(ids[0]!);
    await old.endpoints.disable(ids[2]!);
    const app = await world.start({ keys: BOTH });
    await app.outbox.send({ type: 'a', data: 1 });
    await world.settled(3);
    expect(await keysInUse()).toEqual(['test']);
    const before = (await app.endpoints.list()).endpoints;
    expect(await app.endpoints.reseal()).toBe(3 * 4 + 1);
    expect(await keysInUse()).toEqual(['new']);
    expect((await app.endpoints.list()).endpoints).toEqual(before);
    expect(await app.endpoints.reseal()).toBe(0);
    await app.close();
    const next = await world.start({ keys: [NEW] });
    await next.endpoints.enable(ids[2]!);
    await next.outbox.send({ type: 'a', data: 2 });
    for (const [nth, count] of [2, 2, 1].entries()) {
      const requests = await world.received(`p${nth}`, count);
      for (const { headers } of requests) expect(headers['x-token']).toBe(`token ${nth}`);
    }
  });

  it('goes through more endpoints than a page, also when it was stopped in between, and beside rotations', async () => {
    const app = await world.start({ role: 'producer' });
    const ids = await endpoints(app, 230);
    const changed = await world.start({ role: 'producer', keys: BOTH });
    const stop = new AbortController();
    const broken = changed.endpoints.reseal({ signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(broken).rejects.toThrow('enough');
    await Promise.all([
      changed.endpoints.reseal(),
      ...ids.slice(0, 30).map((id) => changed.endpoints.rotateSecret(id)),
    ]);
    expect(await keysInUse()).toEqual(['new']);
    const { rows } = await world.admin.query<{ n: number }>('SELECT count(*)::int AS n FROM baton.webhook_secrets');
    expect(rows).toEqual([{ n: 2 * 230 + 30 }]);
  });

  it('leaves what does not open as it is, seals the rest, and says so', async () => {
    const app = await world.start({ role: 'producer' });
    const ids = await endpoints(app, 3);
    await world.admin.query(`UPDATE baton.webhook_secrets SET key_id = 'lost' WHERE endpoint_id = $1 AND kind = 'v1'`, [
      ids[1],
    ]);
    const changed = await world.start({ role: 'producer', keys: BOTH });
    await expect(changed.endpoints.reseal()).rejects.toMatchObject({
      code: 'KEY_RING_INVALID',
      message: expect.stringMatching(/1 left.*lost/s) as string,
    });
    expect(await keysInUse()).toEqual(['lost', 'new']);
  });
});
