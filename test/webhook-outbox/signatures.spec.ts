import { createHmac } from 'node:crypto';
import { type ReceivedWebhook, waitFor } from '@nest-baton/testing';
import type { Endpoint, NewEndpoint, WebhookOutboxOptions } from '@nest-baton/webhook-outbox';
import { verifyWebhook } from '@nest-baton/webhook-outbox/receiving';
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

const create = (more: Partial<NewEndpoint>) => app.endpoints.create({ url: `${world.receiver.url}x`, ...more });

async function next(): Promise<ReceivedWebhook> {
  const before = world.requests('x').length;
  await app.outbox.send({ type: 'a.b', data: { text: 'ä€😀' } });
  return (await world.received('x', before + 1))[before]!;
}

const versions = (request: ReceivedWebhook): string => header(request, 'webhook-signature').replace(/,\S+/g, '');

const publicKeys = ({ secrets }: Pick<Endpoint, 'secrets'>): readonly string[] =>
  secrets.flatMap(({ publicKey }) => publicKey ?? []);

function isVerified({ headers, body }: ReceivedWebhook, secrets: string | readonly string[]): boolean {
  try {
    return verifyWebhook({ headers: headers, body, secrets }).id === headers['webhook-id'];
  } catch {
    return false;
  }
}

describe('an endpoint with v1a', () => {
  it('has each request signed by both, and its public key shown to everybody who may see it', async () => {
    await start();
    const created = await create({ signatures: ['v1', 'v1a'] });
    const shown = await app.endpoints.get(created.id);
    expect(shown.signatures).toEqual(['v1', 'v1a']);
    expect((await app.endpoints.list()).endpoints).toEqual([shown]);
    const [publicKey = ''] = publicKeys(shown);
    expect(publicKey).toMatch(/^whpk_[A-Za-z0-9+/]{43}=$/);
    expect(JSON.stringify(shown)).not.toMatch(/whsec_|whsk_/);
    const request = await next();
    expect(versions(request)).toBe('v1 v1a');
    for (const secrets of [created.secret, publicKey, [publicKey, created.secret]]) {
      expect(world.receiver.verify(request, secrets)).toBe(true);
      expect(isVerified(request, secrets)).toBe(true);
    }
    const other = await create({ signatures: ['v1', 'v1a'] });
    expect(isVerified(request, publicKeys(other))).toBe(false);
    expect(isVerified({ ...request, body: Buffer.from(`${request.body.toString()} `) }, publicKey)).toBe(false);
  });

  it('keeps its private key to itself: sealed where it is stored, of no use in another place, and in no answer', async () => {
    await start({ role: 'producer' });
    const key = `whsk_${Buffer.alloc(32, 5).toString('base64')}`;
    const { id } = await create({ signatures: ['v1', 'v1a'] });
    const rotated = await app.endpoints.rotateSecret(id, { kind: 'v1a', secret: key, expireOldAfter: 0 });
    expect(rotated).toMatchObject({ kind: 'v1a', secret: rotated.publicKey });
    const { rows } = await world.admin.query<{ row: string }>(
      'SELECT row_to_json(s)::text AS row FROM baton.webhook_secrets s',
    );
    const stored = rows.map(({ row }) => row).join('\n');
    expect(stored).toContain(rotated.publicKey);
    expect(stored).not.toContain(Buffer.alloc(32, 5).toString('hex'));
    await world.admin.query(`UPDATE baton.webhook_secrets SET kind = CASE kind WHEN 'v1' THEN 'v1a' ELSE 'v1' END`);
    await expect(world.start()).rejects.toMatchObject({ code: 'KEY_RING_INVALID' });
  });

  it('is rotated apart from v1: both keys sign until the old one expires', async () => {
    await start();
    const created = await create({ signatures: ['v1', 'v1a'] });
    const [old = ''] = publicKeys(created);
    const rotated = await app.endpoints.rotateSecret(created.id, { kind: 'v1a', expireOldAfter: '1500ms' });
    const both = await next();
    expect(versions(both).split(' ').sort()).toEqual(['v1', 'v1a', 'v1a']);
    for (const secret of [old, rotated.secret, created.secret]) expect(world.receiver.verify(both, secret)).toBe(true);
    await waitFor(async () => (await app.endpoints.get(created.id)).secrets.length === 2, { description: 'its end' });
    const last = await next();
    expect([old, rotated.secret].map((secret) => world.receiver.verify(last, secret))).toEqual([false, true]);
    await app.endpoints.rotateSecret(created.id, { expireOldAfter: 0 });
    expect(publicKeys(await app.endpoints.get(created.id))).toEqual([rotated.secret]);
  });

  it('is made of one without by a rotation, and ends with its last key; v1 stays', async () => {
    await start();
    const created = await create({});
    expect(created.signatures).toEqual(['v1']);
    const key = await app.endpoints.rotateSecret(created.id, { kind: 'v1a' });
    expect((await app.endpoints.get(created.id)).signatures).toEqual(['v1', 'v1a']);
    expect(world.receiver.verify(await next(), key.secret)).toBe(true);
    await expect(app.endpoints.revokeSecret(created.id, created.secrets[0]!.id)).rejects.toMatchObject({
      code: 'ENDPOINT_SECRET',
    });
    await app.endpoints.revokeSecret(created.id, key.id);
    expect(versions(await next())).toBe('v1');
    expect((await app.endpoints.get(created.id)).signatures).toEqual(['v1']);
  });

  it('refuses other signatures, and keys that are none', async () => {
    await start({ role: 'producer' });
    for (const signatures of [[], ['v1a'], ['v2'], ['v1', 'v2'], ['v1', 'v1a', 'v2'], 'v1'])
      await expect(create({ signatures: signatures as never })).rejects.toMatchObject({ code: 'ENDPOINT_INVALID' });
    const { id } = await create({ signatures: ['v1', 'v1a'] });
    for (const secret of [
      'whsk_geheim',
      `whsec_${Buffer.alloc(32).toString('base64')}`,
      `whpk_${Buffer.alloc(32).toString('base64')}`,
    ])
      await expect(app.endpoints.rotateSecret(id, { kind: 'v1a', secret })).rejects.toMatchObject({
        code: 'ENDPOINT_INVALID',
        message: expect.not.stringContaining(secret) as string,
      });
    await expect(app.endpoints.rotateSecret(id, { kind: 'v2' as never })).rejects.toMatchObject({
      code: 'OPTIONS_INVALID',
    });
  });
});

describe('an endpoint with a legacy signature', () => {
  const legacySignature = {
    scheme: 'sha256-hex',
    header: 'X-Relay-Signature',
    timestampHeader: 'X-Relay-Timestamp',
    typeHeader: 'X-Relay-Event',
    secret: 'what they know',
  } as const;
  const expected = ({ body }: ReceivedWebhook, secret = 'what they know') =>
    `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;

  it('gets it beside those of Standard Webhooks, on each attempt over the same bytes', async () => {
    world.receiver.answer(({ attempt }) => ({ status: attempt === 1 ? 503 : 204 }));
    await start();
    const created = await create({ legacySignature });
    await app.outbox.send({ type: 'a.b', data: { text: 'ä€😀' } });
    for (const request of await world.received('x', 2)) {
      expect(header(request, 'x-relay-signature')).toBe(expected(request));
      expect(header(request, 'x-relay-timestamp')).toBe(header(request, 'webhook-timestamp'));
      expect(header(request, 'x-relay-event')).toBe('a.b');
      expect(world.receiver.verify(request, created.secret)).toBe(true);
    }
    await world.settled(1);
  });

  it('is shown without its secret, which is stored sealed and removed with the endpoint', async () => {
    await start({ role: 'producer' });
    const { id, ...created } = await create({ legacySignature });
    const { secret: _secret, ...names } = legacySignature;
    const shown = Object.fromEntries(
      Object.entries(names).map(([key, name]) => [key, key === 'scheme' ? name : name.toLowerCase()]),
    );
    expect(created.legacySignature).toEqual(shown);
    expect((await app.endpoints.get(id)).legacySignature).toEqual(shown);
    const dump = async () =>
      JSON.stringify((await world.admin.query('SELECT row_to_json(e) FROM baton.webhook_endpoints e')).rows);
    for (const readable of ['they know', Buffer.from('they know').toString('hex')])
      expect(await dump()).not.toContain(readable);
    await app.endpoints.delete(id);
    expect(
      (await world.admin.query('SELECT legacy_signature AS a, legacy_sealed AS b FROM baton.webhook_endpoints')).rows,
    ).toEqual([{ a: null, b: null }]);
  });

  it('is changed and ended by an update, for whatever is started after it, and by no other update', async () => {
    await start();
    const { id } = await create({ legacySignature });
    await app.endpoints.update(id, { types: ['a.*'] });
    expect(header(await next(), 'x-relay-signature')).toMatch(/^sha256=/);
    await app.endpoints.update(id, {
      legacySignature: { scheme: 'timestamped', header: 'x-other', secret: 'another one' },
    });
    const request = await next();
    expect(header(request, 'x-relay-signature')).toBe('undefined');
    const seconds = header(request, 'webhook-timestamp');
    const hex = createHmac('sha256', 'another one').update(`${seconds}.`).update(request.body).digest('hex');
    expect(header(request, 'x-other')).toBe(`t=${seconds},v1=${hex}`);
    await app.endpoints.update(id, { legacySignature: null });
    expect(header(await next(), 'x-other')).toBe('undefined');
    expect((await app.endpoints.get(id)).legacySignature).toBeNull();
  });

  it('wins over a header of the same name, and may take none that is reserved', async () => {
    await start();
    await expect(create({ legacySignature, headers: { 'x-relay-event': 'mine' } })).rejects.toMatchObject({
      code: 'ENDPOINT_INVALID',
    });
    for (const name of ['webhook-signature', 'Content-Length', 'a\r\nb: c'])
      await expect(create({ legacySignature: { ...legacySignature, header: name } })).rejects.toMatchObject({
        code: 'ENDPOINT_INVALID',
      });
    const { id } = await create({ legacySignature });
    await app.endpoints.update(id, { headers: { 'x-relay-signature': 'forged' } });
    const request = await next();
    expect(header(request, 'x-relay-signature')).toBe(expected(request));
  });
});
