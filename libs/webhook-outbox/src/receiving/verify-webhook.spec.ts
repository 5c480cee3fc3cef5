import { generateKeyPairSync, sign } from 'node:crypto';
import { VirtualClock } from '@nest-baton/testing';
import { Webhook } from 'standardwebhooks';
import { secretText, signV1 } from '../sending/signature.js';
import { verifyWebhook, type WebhookToVerify } from './verify-webhook.js';

const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const OTHER = secretText(Buffer.alloc(32, 9));
const BODY = '{"test": 2432232314}';
const ID = 'msg_p5jXN8AQM9LWM0D4loKWxJek';
const SECONDS = 1_614_265_330;

const at = (seconds: number) => new VirtualClock(seconds * 1_000);

/** By the reference library. */
function signed(body = BODY, seconds = SECONDS, secret = SECRET): Record<string, string> {
  return {
    'webhook-id': ID,
    'webhook-timestamp': String(seconds),
    'webhook-signature': new Webhook(secret).sign(ID, new Date(seconds * 1_000), body),
  };
}

function verify(more: Partial<WebhookToVerify> = {}) {
  return verifyWebhook({ headers: signed(), body: BODY, secrets: SECRET, clock: at(SECONDS), ...more });
}

const refusal = (reason: string) => expect.objectContaining({ code: 'WEBHOOK_UNVERIFIED', reason }) as Error;

describe('verifyWebhook', () => {
  it.each([
    [SECRET, ID, SECONDS, BODY, 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='],
    [
      'whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=',
      'msg_2KWPBgLlAfxdpx2AI54pPJ85f4W',
      1_674_087_231,
      '{"type":"contact.created","data":{"id":"contact_123"}}',
      'v1,2/2R48vjDyZKtwwAWq4WVyy1FhutnxMXbRq6gLfXLhc=',
    ],
  ])('takes the known vector of %s', (secrets, id, seconds, body, signature) => {
    const headers = { 'webhook-id': id, 'webhook-timestamp': `${seconds}`, 'webhook-signature': signature };
    const expected = { id, timestamp: new Date(seconds * 1_000) };
    expect(verifyWebhook({ headers, body, secrets, clock: at(seconds) })).toEqual(expected);
  });

  it('agrees with the reference library about what each of the two signs', () => {
    const now = Math.floor(new Date().getTime() / 1_000);
    for (const body of ['', '{}', '{"a":"ä€😀\\u0000"}', 'x'.repeat(100_000)]) {
      expect(verify({ headers: signed(body, now), body, clock: at(now) })).toMatchObject({ id: ID });
      expect(verify({ headers: signed(body, now), body: Buffer.from(body), clock: at(now) })).toMatchObject({ id: ID });
      const ours = {
        ...signed(body, now),
        'webhook-signature': signV1(Buffer.from(SECRET.slice(6), 'base64'), ID, now, body),
      };
      expect(() => new Webhook(SECRET).verify(body, ours, { jsonParse: false })).not.toThrow();
    }
  });

  it('takes the headers of Node, of fetch, and in lists', () => {
    expect(verify({ headers: new Headers(signed()) })).toMatchObject({ id: ID });
    const { 'webhook-signature': signature, ...rest } = signed();
    expect(verify({ headers: { ...rest, 'webhook-signature': ['v1,AAAA', signature!] } })).toMatchObject({ id: ID });
    const lines = new Headers(rest);
    lines.append('webhook-signature', 'v1,AAAA');
    lines.append('webhook-signature', signature!);
    expect(verify({ headers: lines })).toMatchObject({ id: ID });
  });

  it('takes any of several signatures by any of several secrets, also without their prefix', () => {
    const { 'webhook-signature': mine, ...rest } = signed();
    const others = `v2,AAAA v1,AAAA v1a,AAAA v1 , ${signed(BODY, SECONDS, OTHER)['webhook-signature']} ${mine}`;
    const headers = { ...rest, 'webhook-signature': others };
    for (const secrets of [SECRET, OTHER, [OTHER, SECRET], SECRET.slice(6), [secretText(Buffer.alloc(24)), SECRET]])
      expect(verify({ headers, secrets })).toMatchObject({ id: ID });
    expect(() => verify({ headers, secrets: secretText(Buffer.alloc(24)) })).toThrow(refusal('no-matching-signature'));
  });

  it.each(['webhook-id', 'webhook-timestamp', 'webhook-signature'])('refuses a request without %s', (name) => {
    for (const value of [undefined, '', '  ', []])
      expect(() => verify({ headers: { ...signed(), [name]: value } })).toThrow(refusal('missing-header'));
  });

  it.each(['hello', '-1', '1.5', '1e9', '0x10', '١٢', '16142653301614265330', `${SECONDS} ${SECONDS}`])(
    'refuses the timestamp %s',
    (timestamp) => {
      const headers = { ...signed(), 'webhook-timestamp': timestamp };
      expect(() => verify({ headers })).toThrow(refusal('malformed-header'));
    },
  );

  it('refuses an id that could be read as the beginning of the rest, and one without end', () => {
    for (const id of [`${ID}.1`, 'x'.repeat(513)])
      expect(() => verify({ headers: { ...signed(), 'webhook-id': id } })).toThrow(refusal('malformed-header'));
  });

  it('refuses what is older or newer than the tolerance, to the second', () => {
    expect(verify({ clock: at(SECONDS + 300) })).toMatchObject({ id: ID });
    expect(verify({ clock: at(SECONDS - 300) })).toMatchObject({ id: ID });
    expect(() => verify({ clock: at(SECONDS + 301) })).toThrow(refusal('timestamp-too-old'));
    expect(() => verify({ clock: at(SECONDS - 301) })).toThrow(refusal('timestamp-too-new'));
    expect(() => verify({ clock: at(SECONDS + 11), tolerance: '10s' })).toThrow(refusal('timestamp-too-old'));
    expect(verify({ clock: at(SECONDS + 86_000), tolerance: '1d' })).toMatchObject({ id: ID });
  });

  it.each([
    ['another body', { body: `${BODY} ` }],
    ['a body of the same meaning', { body: '{"test":2432232314}' }],
    ['another id', { headers: { ...signed(), 'webhook-id': 'msg_2' } }],
    ['another timestamp', { headers: { ...signed(), 'webhook-timestamp': `${SECONDS + 1}` } }],
    ['another secret', { secrets: OTHER }],
    ['half a signature', { headers: { ...signed(), 'webhook-signature': 'v1,g0hM9SsE' } }],
    ['an empty signature', { headers: { ...signed(), 'webhook-signature': 'v1,' } }],
    [
      'another version',
      { headers: { ...signed(), 'webhook-signature': signed()['webhook-signature']!.replace('v1', 'v2') } },
    ],
  ])('refuses %s', (_what, more) => {
    expect(() => verify(more)).toThrow(refusal('no-matching-signature'));
  });

  it('refuses secrets that are none, without showing them', () => {
    for (const secrets of [[], '', 'whsec_', 'whsec_c2hvcnQ=', undefined, null, [SECRET, 5]])
      expect(() => verify({ secrets: secrets as string[] })).toThrow(
        expect.objectContaining({ code: 'OPTIONS_INVALID' }),
      );
    expect(() => verify({ secrets: 'whsec_c2hvcnQ=' })).not.toThrow(/c2hvcnQ/);
    expect(() => verify({ tolerance: 'soon' as '1s' })).toThrow(expect.objectContaining({ code: 'OPTIONS_INVALID' }));
  });

  describe('by v1a', () => {
    const pairs = [0, 1].map(() => {
      const { publicKey, privateKey } = generateKeyPairSync('ed25519');
      const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
      return { publicKey: `whpk_${raw.toString('base64')}`, privateKey };
    });
    const [mine, theirs] = pairs as [(typeof pairs)[number], (typeof pairs)[number]];
    const v1a = ({ privateKey } = mine, body = BODY) =>
      `v1a,${sign(null, Buffer.from(`${ID}.${SECONDS}.${body}`), privateKey).toString('base64')}`;
    const headers = (...signatures: string[]) => ({ ...signed(), 'webhook-signature': signatures.join(' ') });

    it('takes a signature of one of the public keys, alone and among others', () => {
      const v1 = signed()['webhook-signature']!;
      for (const given of [[v1a()], [v1, v1a()], [v1a(theirs), v1a()]])
        expect(verify({ headers: headers(...given), secrets: mine.publicKey })).toMatchObject({ id: ID });
      const secrets = [theirs.publicKey, SECRET, mine.publicKey];
      for (const given of [[v1a()], [v1]])
        expect(verify({ headers: headers(...given), secrets })).toMatchObject({ id: ID });
      const body = '{"a":"ä€😀"}';
      const bytes = Buffer.from(body);
      expect(verify({ headers: headers(v1a(mine, body)), secrets: mine.publicKey, body: bytes })).toMatchObject({
        id: ID,
      });
    });

    it.each([
      ['of another key', { headers: headers(v1a(theirs)) }],
      ['of another body', { body: `${BODY} ` }],
      ['of v1 alone', { headers: signed() }],
      ['that is none', { headers: headers('v1a,', 'v1a,AAAA', `v1a,${'A'.repeat(88)}`) }],
      ['that calls itself v1', { headers: headers(v1a().replace('v1a', 'v1')) }],
      ['behind more than anybody would send', { headers: headers(...Array<string>(32).fill(v1a(theirs)), v1a()) }],
    ])('refuses a signature %s', (_what, more) => {
      const given = { headers: headers(v1a()), secrets: mine.publicKey, ...more };
      expect(() => verify(given)).toThrow(refusal('no-matching-signature'));
    });

    it('refuses public keys that are none, and does not take one for a secret', () => {
      for (const secrets of [
        'whpk_',
        'whpk_AAAA',
        mine.publicKey.replace('whpk_', 'whsk_'),
        [mine.publicKey, 'whpk_!'],
      ])
        expect(() => verify({ secrets })).toThrow(expect.objectContaining({ code: 'OPTIONS_INVALID' }));
      const raw = Buffer.from(mine.publicKey.slice(5), 'base64');
      const forged = signV1(raw, ID, SECONDS, BODY);
      for (const entry of [forged, forged.replace('v1', 'v1a')])
        expect(() => verify({ headers: headers(entry), secrets: mine.publicKey })).toThrow(
          refusal('no-matching-signature'),
        );
    });
  });
});
