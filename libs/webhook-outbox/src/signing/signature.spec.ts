import { Webhook } from 'standardwebhooks';
import { secretBytes, secretText, signV1, webhookIdOf } from './signature.js';

describe('Standard Webhooks v1', () => {
  it.each([
    [
      'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
      'msg_p5jXN8AQM9LWM0D4loKWxJek',
      1614265330,
      '{"test": 2432232314}',
      'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    ],
    [
      'whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=',
      'msg_2KWPBgLlAfxdpx2AI54pPJ85f4W',
      1674087231,
      '{"type":"contact.created","data":{"id":"contact_123"}}',
      'v1,2/2R48vjDyZKtwwAWq4WVyy1FhutnxMXbRq6gLfXLhc=',
    ],
  ])('signs the known vector of %s', (secret, id, timestamp, body, signature) => {
    expect(signV1(secretBytes(secret)!, id, timestamp, body)).toBe(signature);
  });

  it('agrees with the reference library on any text', () => {
    for (const body of ['', '{}', '{"a":"ä€😀"}', 'x'.repeat(100_000)]) {
      const secret = secretText(Buffer.alloc(32, body.length));
      const expected = new Webhook(secret).sign('msg_1', new Date(1_700_000_000_000), body);
      expect(signV1(secretBytes(secret)!, 'msg_1', 1_700_000_000, body)).toBe(expected);
    }
  });

  it('takes secrets of 24 to 64 bytes in base64 and nothing else', () => {
    for (const bytes of [24, 32, 64]) expect(secretBytes(secretText(Buffer.alloc(bytes, 1)))).toHaveLength(bytes);
    const refused = ['', 'whsec_', 'whsec_short', secretText(Buffer.alloc(23)), secretText(Buffer.alloc(65))];
    for (const secret of [...refused, Buffer.alloc(32).toString('base64'), `whsec_${'!'.repeat(40)}`])
      expect(secretBytes(secret)).toBeUndefined();
  });

  it('gives one id to an event and an endpoint, without a dot', () => {
    expect(webhookIdOf('e', 'p')).toBe(webhookIdOf('e', 'p'));
    expect(new Set([webhookIdOf('e', 'p'), webhookIdOf('p', 'e'), webhookIdOf('ep', '')]).size).toBe(3);
    expect(webhookIdOf('e', 'p')).toMatch(/^msg_[0-9a-f]{32}$/);
  });
});
