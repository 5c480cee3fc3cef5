import { createPublicKey, verify } from 'node:crypto';
import { privateKeyOf, publicKeyOf, publicKeyText, seedOf, signV1a } from './asymmetric-key.js';

/** The first test vector of RFC 8032. */
const SEED = Buffer.from('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'hex');
const PUBLIC = Buffer.from('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a', 'hex');
const base64 = (...parts: Buffer[]) => Buffer.concat(parts).toString('base64');

describe('Standard Webhooks v1a', () => {
  it('knows the public key of a private one', () => {
    expect(publicKeyText(SEED)).toBe(`whpk_${base64(PUBLIC)}`);
    expect(publicKeyOf(publicKeyText(SEED))?.export({ format: 'jwk' })).toMatchObject({
      x: PUBLIC.toString('base64url'),
    });
  });

  it('takes private keys alone, and with the public key that belongs to them', () => {
    expect(seedOf(`whsk_${base64(SEED)}`)).toEqual(SEED);
    expect(seedOf(`whsk_${base64(SEED, PUBLIC)}`)).toEqual(SEED);
  });

  it.each([
    '',
    'whsk_',
    `whsec_${base64(SEED)}`,
    `whpk_${base64(SEED)}`,
    `whsk_${base64(SEED, SEED)}`,
    `whsk_${base64(SEED).slice(0, -1)}`,
    `whsk_${base64(SEED)}\n`,
    `whsk_${base64(SEED.subarray(1))}`,
    `whsk_${SEED.toString('base64url')}-`,
  ])('refuses %j, which is no private key', (text) => expect(seedOf(text)).toBeUndefined());

  it.each(['', 'whpk_', `whsk_${base64(PUBLIC)}`, `whpk_${base64(PUBLIC, PUBLIC)}`, `whpk_${PUBLIC.toString('hex')}`])(
    'refuses %j, which is no public key',
    (text) => expect(publicKeyOf(text)).toBeUndefined(),
  );

  it('signs the id, the timestamp and the bytes of the body', () => {
    for (const body of ['', '{"a":"ä€😀"}', 'x'.repeat(100_000)]) {
      const signature = signV1a(privateKeyOf(SEED), 'msg_1', 1_700_000_000, body);
      const [version, text = ''] = signature.split(',');
      const content = Buffer.from(`msg_1.1700000000.${body}`);
      expect(version).toBe('v1a');
      expect(verify(null, content, createPublicKey(privateKeyOf(SEED)), Buffer.from(text, 'base64'))).toBe(true);
    }
  });
});
