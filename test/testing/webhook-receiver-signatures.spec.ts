import { generateKeyPairSync, sign } from 'node:crypto';
import { WebhookReceiver, type WebhookReceiverOptions } from '@nest-baton/testing';
import { Webhook } from 'standardwebhooks';

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const OTHER = 'whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=';
const BODY = '{"type":"run.done","data":{"a":1}}';

describe('WebhookReceiver, signatures', () => {
  const receivers: WebhookReceiver[] = [];

  afterEach(async () => {
    await Promise.all(receivers.splice(0).map((receiver) => receiver.stop()));
  });

  async function start(options: WebhookReceiverOptions): Promise<WebhookReceiver> {
    const receiver = await WebhookReceiver.start(options);
    receivers.push(receiver);
    return receiver;
  }

  function headers(signature: (id: string, at: Date) => string, offSeconds = 0): Record<string, string> {
    const at = new Date(new Date().getTime() + offSeconds * 1000);
    return {
      'webhook-id': 'msg_1',
      'webhook-timestamp': `${Math.floor(at.getTime() / 1000)}`,
      'webhook-signature': signature('msg_1', at),
    };
  }

  const signedBy = (secret: string) => (id: string, at: Date) => new Webhook(secret).sign(id, at, BODY);

  async function send(receiver: WebhookReceiver, given: Record<string, string>, body = BODY) {
    await fetch(receiver.url, { method: 'POST', body, headers: given });
    return receiver.requests.at(-1)?.verification;
  }

  it('checks each request when it comes, against all its secrets, and tells which', async () => {
    const receiver = await start({ secrets: [SECRET] });
    expect(await send(receiver, headers(signedBy(SECRET)))).toEqual({ isVerified: true, secret: 0 });
    expect(await send(receiver, headers(signedBy(OTHER)))).toMatchObject({ isVerified: false });
    receiver.trust(OTHER);
    expect(await send(receiver, headers(signedBy(OTHER)))).toEqual({ isVerified: true, secret: 1 });
  });

  it('takes any of several signatures, as after a rotation, and skips versions that it does not know', async () => {
    const receiver = await start({ secrets: [OTHER] });
    const both = headers((id, at) => `v2,abc ${signedBy(SECRET)(id, at)} ${signedBy(OTHER)(id, at)}`);
    expect(await send(receiver, both)).toEqual({ isVerified: true, secret: 0 });
  });

  it.each([
    ['no signature at all', {}, BODY, /missing required headers/i],
    ['another body', headers(signedBy(SECRET)), `${BODY} `, /no matching signature/i],
    ['an old timestamp', headers(signedBy(SECRET), -310), BODY, /ms off/],
    ['a future timestamp', headers(signedBy(SECRET), 310), BODY, /ms off/],
    [
      'a timestamp that is no number',
      { ...headers(signedBy(SECRET)), 'webhook-timestamp': 'now' },
      BODY,
      /timestamp|headers/i,
    ],
    [
      'an empty signature',
      { ...headers(signedBy(SECRET)), 'webhook-signature': 'v1,' },
      BODY,
      /no matching signature/i,
    ],
  ])('says why not: %s', async (_, given, body, reason) => {
    const receiver = await start({ secrets: [SECRET] });
    expect(await send(receiver, given, body)).toEqual({
      isVerified: false,
      reason: expect.stringMatching(reason) as string,
    });
  });

  it('has a tolerance of its own, within that of the library', async () => {
    const receiver = await start({ secrets: [SECRET], toleranceMs: 10_000 });
    expect(await send(receiver, headers(signedBy(SECRET), -5))).toMatchObject({ isVerified: true });
    expect(await send(receiver, headers(signedBy(SECRET), -30))).toMatchObject({ isVerified: false });
    await expect(start({ toleranceMs: 300_001 })).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
  });

  it('checks v1a by ed25519, apart from v1', async () => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url').toString('base64');
    const v1a = (id: string, at: Date, body = BODY) =>
      `v1a,${sign(null, Buffer.from(`${id}.${Math.floor(at.getTime() / 1000)}.${body}`), privateKey).toString('base64')}`;
    const receiver = await start({ secrets: [`whpk_${raw}`] });
    expect(await send(receiver, headers(v1a))).toEqual({ isVerified: true, secret: 0 });
    expect(
      await send(
        receiver,
        headers((id, at) => `${signedBy(SECRET)(id, at)} ${v1a(id, at)}`),
      ),
    ).toMatchObject({ isVerified: true });
    expect(await send(receiver, headers(v1a), `${BODY} `)).toMatchObject({
      isVerified: false,
      reason: 'No matching v1a signature found',
    });
    expect(await send(receiver, headers(signedBy(SECRET)))).toMatchObject({ isVerified: false });
    expect(await send(receiver, {})).toMatchObject({ isVerified: false });
    const timeless = { ...headers(v1a), 'webhook-timestamp': 'soon' };
    expect(await send(receiver, timeless)).toEqual({ isVerified: false, reason: 'Invalid timestamp' });
    receiver.trust('whsec_');
    expect(await send(receiver, headers(v1a), `${BODY} `)).toMatchObject({
      reason: expect.stringMatching(/No matching v1a.*; .*empty/i) as string,
    });
  });

  it('checks nothing without secrets, nor what it did not read; verify() does so afterwards', async () => {
    const receiver = await start({});
    expect(await send(receiver, headers(signedBy(SECRET)))).toBeUndefined();
    const [request] = receiver.requests;
    if (request === undefined) throw new Error('it came');
    expect([
      receiver.verify(request, SECRET),
      receiver.verify(request, [OTHER, SECRET]),
      receiver.verify(request, []),
    ]).toEqual([true, true, false]);
    expect(receiver.verification(request, [OTHER, SECRET])).toEqual({ isVerified: true, secret: 1 });
    receiver.trust(SECRET);
    receiver.answerUnread({ status: 200 });
    expect(await send(receiver, headers(signedBy(SECRET)))).toBeUndefined();
  });
});
