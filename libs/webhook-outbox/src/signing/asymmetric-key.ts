import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';

const PRIVATE_PREFIX = 'whsk_';
const PUBLIC_PREFIX = 'whpk_';

/** Of a private key in PKCS #8, before its 32 bytes. */
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');

/** Length of an ed25519 private key (its seed) and of a public one. */
export const KEY_BYTES = 32;

/**
 * The 32 bytes behind `whsk_...`: in base64 alone, or followed by the 32 of the public key, as other senders write it. Undefined: it is neither,
 * or the two do not belong together.
 */
export function seedOf(text: string): Buffer | undefined {
  const bytes = bytesOf(text, PRIVATE_PREFIX);
  if (bytes?.length === KEY_BYTES) return bytes;
  if (bytes?.length !== 2 * KEY_BYTES) return undefined;
  const seed = bytes.subarray(0, KEY_BYTES);
  return publicBytes(privateKeyOf(seed)).equals(bytes.subarray(KEY_BYTES)) ? seed : undefined;
}

export function privateKeyOf(seed: Buffer): KeyObject {
  return createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: 'der', type: 'pkcs8' });
}

/** `whpk_...`: what a receiver verifies with, and no secret. */
export function publicKeyText(seed: Buffer): string {
  return `${PUBLIC_PREFIX}${publicBytes(privateKeyOf(seed)).toString('base64')}`;
}

/** Undefined: it is not `whpk_` followed by 32 bytes in base64. */
export function publicKeyOf(text: string): KeyObject | undefined {
  const bytes = bytesOf(text, PUBLIC_PREFIX);
  if (bytes?.length !== KEY_BYTES) return undefined;
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: bytes.toString('base64url') }, format: 'jwk' });
}

/** Standard Webhooks `v1a`: ed25519 over `id.timestamp.body`, byte for byte as sent. */
export function signV1a(key: KeyObject, webhookId: string, timestampSeconds: number, body: string): string {
  return `v1a,${sign(null, Buffer.from(`${webhookId}.${timestampSeconds}.${body}`), key).toString('base64')}`;
}

function publicBytes(key: KeyObject): Buffer {
  return Buffer.from(createPublicKey(key).export({ format: 'jwk' }).x ?? '', 'base64url');
}

function bytesOf(text: string, prefix: string): Buffer | undefined {
  if (!text.startsWith(prefix)) return undefined;
  const bytes = Buffer.from(text.slice(prefix.length), 'base64');
  return bytes.toString('base64') === text.slice(prefix.length) ? bytes : undefined;
}
