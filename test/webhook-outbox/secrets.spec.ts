import { waitFor } from '@nest-baton/testing';
import type { ReceivedWebhook } from '@nest-baton/testing';
import type { WebhookOutboxOptions } from '@nest-baton/webhook-outbox';
import { header, type OutboxApp, OutboxWorld } from './support/outbox-world.js';

let world: OutboxWorld;
let app: OutboxApp;

async function start(options: WebhookOutboxOptions = {}): Promise<void> {
  app = await world.start({ breakerFailures: 0, ...options });
}

beforeEach(async () => {
  world = await OutboxWorld.create();
});
afterEach(() => world.stop());

function signatures(request: ReceivedWebhook): readonly string[] {
  return header(request, 'webhook-signature').split(' ');
}

async function next(): Promise<ReceivedWebhook> {
  const before = world.requests('x').length;
  await app.outbox.send({ type: 'a', data: 1 });
  return (await world.received('x', before + 1))[before]!;
}

describe('a secret that is rotated', () => {
  it('signs beside the new one until it expires, so that receivers who know either take each request', async () => {
    await start();
    const first = await world.endpoint(app, 'x');
    expect(signatures(await next())).toHaveLength(1);
    const second = await app.endpoints.rotateSecret(first.id, { expireOldAfter: '1500ms' });
    const both = await next();
    expect(signatures(both)).toHaveLength(2);
    for (const { secret } of [first, second]) expect(world.receiver.verify(both, secret)).toBe(true);
    expect((await app.endpoints.get(first.id)).secrets).toMatchObject([
      { id: second.id, expiresAt: null },
      { id: first.secrets[0]!.id, expiresAt: expect.any(Date) as Date },
    ]);
    await waitFor(async () => (await app.endpoints.get(first.id)).secrets.length === 1, { description: 'its end' });
    // Kept in memory since before: the version has not changed.
    const last = await next();
    expect(signatures(last)).toHaveLength(1);
    expect(world.receiver.verify(last, second.secret)).toBe(true);
    expect(world.receiver.verify(last, first.secret)).toBe(false);
  });

  it('is of no use at once when asked for, also for what was claimed already', async () => {
    await start({ maxInFlight: 1 });
    const first = await world.endpoint(app, 'x');
    world.receiver.answer({ status: 204, delayMs: 150 });
    await app.outbox.sendMany(Array.from({ length: 6 }, (_, data) => ({ type: 'a', data })));
    await world.received('x', 1);
    const second = await app.endpoints.rotateSecret(first.id, { expireOldAfter: 0 });
    const under = world.requests('x').length + 1;
    const all = await world.received('x', 6);
    for (const request of all.slice(under)) {
      expect(world.receiver.verify(request, second.secret)).toBe(true);
      expect(world.receiver.verify(request, first.secret)).toBe(false);
    }
    expect(all.length).toBeGreaterThan(under);
  });

  it('by ten at once has ten successors, each seen by the next: one that does not expire', async () => {
    await start();
    const { id } = await world.endpoint(app, 'x');
    const rotated = await Promise.all(Array.from({ length: 10 }, () => app.endpoints.rotateSecret(id)));
    expect(new Set(rotated.map(({ secret }) => secret)).size).toBe(10);
    const { secrets } = await app.endpoints.get(id);
    expect(secrets).toHaveLength(11);
    expect(secrets.filter(({ expiresAt }) => expiresAt === null)).toEqual([secrets[0]]);
    const request = await next();
    expect(signatures(request)).toHaveLength(11);
    for (const { secret } of rotated) expect(world.receiver.verify(request, secret)).toBe(true);
  });

  it('has a bound, and refuses secrets and times that mean nothing', async () => {
    await start({ role: 'producer' });
    const { id } = await world.endpoint(app, 'x');
    await expect(app.endpoints.rotateSecret(id, { secret: 'short' })).rejects.toMatchObject({
      code: 'ENDPOINT_INVALID',
    });
    for (const options of [{ expireOldAfter: -1 }, { expireOldAfter: '2y' }, { expireoldafter: 1 }])
      await expect(app.endpoints.rotateSecret(id, options as never)).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
    for (let nth = 1; nth < 32; nth++) await app.endpoints.rotateSecret(id);
    await expect(app.endpoints.rotateSecret(id)).rejects.toMatchObject({ code: 'ENDPOINT_SECRET' });
    await app.endpoints.rotateSecret(id, { expireOldAfter: 0 });
    expect((await app.endpoints.get(id)).secrets).toHaveLength(1);
  });
});

describe('a secret that is revoked', () => {
  it('signs nothing that is started afterwards, with rows queued and claimed', async () => {
    await start({ maxInFlight: 2, batchSize: 10 });
    const worker = await world.start({ maxInFlight: 2, batchSize: 10, breakerFailures: 0 });
    const first = await world.endpoint(app, 'x');
    const second = await app.endpoints.rotateSecret(first.id);
    world.receiver.answer({ status: 204, delayMs: 100 });
    await app.outbox.sendMany(Array.from({ length: 24 }, (_, data) => ({ type: 'a', data })));
    await world.received('x', 3);
    await worker.endpoints.revokeSecret(first.id, first.secrets[0]!.id);
    const revokedAt = world.requests('x').length;
    const all = await world.received('x', 24);
    // Those that were on their way: two of each process.
    const later = all.slice(revokedAt + 4);
    expect(later.length).toBeGreaterThan(0);
    for (const request of later) {
      expect(signatures(request)).toHaveLength(1);
      expect(world.receiver.verify(request, second.secret)).toBe(true);
      expect(world.receiver.verify(request, first.secret)).toBe(false);
    }
  });

  it('must not be the last that stays, nor unknown, nor of another tenant', async () => {
    await start({ role: 'producer' });
    const { id, secrets } = await world.endpoint(app, 'x', { tenant: 'b' });
    const only = secrets[0]!.id;
    await expect(app.endpoints.revokeSecret(id, only)).rejects.toMatchObject({ code: 'ENDPOINT_SECRET' });
    await expect(app.endpoints.revokeSecret(id, 'none')).rejects.toMatchObject({ code: 'ENDPOINT_SECRET' });
    const scope = { tenant: 'a' };
    for (const call of [app.endpoints.rotateSecret(id, {}, scope), app.endpoints.revokeSecret(id, only, scope)])
      await expect(call).rejects.toMatchObject({ code: 'ENDPOINT_NOT_FOUND' });
    await app.endpoints.rotateSecret(id);
    const [newest] = (await app.endpoints.get(id)).secrets;
    await expect(app.endpoints.revokeSecret(id, newest!.id)).rejects.toMatchObject({ code: 'ENDPOINT_SECRET' });
    await app.endpoints.revokeSecret(id, only, { tenant: 'b' });
    expect((await app.endpoints.get(id)).secrets).toEqual([newest]);
  });
});

describe('what is stored of an endpoint', () => {
  it('has no secret and no value of a header that can be read, and nothing of them once it is deleted', async () => {
    await start();
    const { id, secret } = await app.endpoints.create({
      url: `${world.receiver.url}x`,
      headers: { authorization: 'Bearer geheim' },
    });
    expect(header(await next(), 'authorization')).toBe('Bearer geheim');
    const dump = async (): Promise<string> => {
      const { rows } = await world.admin.query<{ row: string }>(
        `SELECT row_to_json(e)::text AS row FROM baton.webhook_endpoints e UNION ALL SELECT row_to_json(s)::text FROM baton.webhook_secrets s`,
      );
      return rows.map(({ row }) => row).join('\n');
    };
    const hex = (text: string): string => Buffer.from(text).toString('hex');
    const bytes = Buffer.from(secret.slice('whsec_'.length), 'base64').toString('hex');
    for (const readable of ['geheim', hex('geheim'), bytes]) expect(await dump()).not.toContain(readable);
    await app.endpoints.delete(id);
    const { rows } = await world.admin.query('SELECT headers_sealed FROM baton.webhook_endpoints');
    expect(rows).toEqual([{ headers_sealed: null }]);
    expect((await world.admin.query('SELECT FROM baton.webhook_secrets')).rowCount).toBe(0);
  });

  it('opens for nobody in the place of something else', async () => {
    await start({ role: 'producer' });
    await app.endpoints.create({ url: `${world.receiver.url}x`, headers: { a: 'b' } });
    await world.admin.query(
      'UPDATE baton.webhook_secrets SET sealed = e.headers_sealed FROM baton.webhook_endpoints e',
    );
    await expect(world.start()).rejects.toMatchObject({ code: 'KEY_RING_INVALID' });
  });
});
