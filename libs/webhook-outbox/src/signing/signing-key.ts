import { randomBytes } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { secretBytes, secretText, signV1 } from '../sending/signature.js';
import { KEY_BYTES, privateKeyOf, publicKeyText, seedOf, signV1a } from './asymmetric-key.js';

/** `v1`: HMAC-SHA256 with a secret that both sides know. `v1a`: ed25519, of which the receiver knows the public half. */
export type SignatureKind = 'v1' | 'v1a';

/** Ready to sign with: bytes for `v1`, a private key for `v1a`. */
export type SigningKey = Buffer | KeyObject;

const SECRET_BYTES = 32;

/** Undefined: not one of this kind. */
export function readKey(kind: SignatureKind, text: string): Buffer | undefined {
  return kind === 'v1' ? secretBytes(text) : seedOf(text);
}

export function newKey(kind: SignatureKind): Buffer {
  return randomBytes(kind === 'v1' ? SECRET_BYTES : KEY_BYTES);
}

/** What the receiver is given to verify with. */
export function verifierText(kind: SignatureKind, bytes: Buffer): string {
  return kind === 'v1' ? secretText(bytes) : publicKeyText(bytes);
}

export function signingKeyOf(kind: SignatureKind, bytes: Buffer): SigningKey {
  return kind === 'v1' ? bytes : privateKeyOf(bytes);
}

/** Under which a key is sealed: one kind does not open as the other. */
export function sealedPlace(kind: SignatureKind, endpointId: string): string {
  return kind === 'v1' ? endpointId : `${endpointId}/v1a`;
}

/** One entry of `webhook-signature`. */
export function signatureBy(key: SigningKey, webhookId: string, timestampSeconds: number, body: string): string {
  return Buffer.isBuffer(key)
    ? signV1(key, webhookId, timestampSeconds, body)
    : signV1a(key, webhookId, timestampSeconds, body);
}
