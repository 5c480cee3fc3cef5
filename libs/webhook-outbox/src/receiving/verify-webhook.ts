import { createHmac, type KeyObject, timingSafeEqual, verify } from 'node:crypto';
import { isUint8Array } from 'node:util/types';
import { type Clock, type Duration, OptionsInvalidError, parseDuration, systemClock } from '@nest-baton/core';
import { secretBytes } from '../signing/signature.js';
import { publicKeyOf } from '../signing/asymmetric-key.js';
import { RawBodyMissingError, WebhookUnverifiedError } from '../webhook-outbox.errors.js';

/** Headers as Node gives them (names in lower case), or anything with `get(name)`, such as the `Headers` of fetch. */
export type WebhookHeaders =
  Readonly<Record<string, string | readonly string[] | undefined>> | { get(name: string): string | null };

export interface WebhookToVerify {
  readonly headers: WebhookHeaders;
  /** As it came, to the byte: JSON that was parsed and written again has another signature. */
  readonly body: string | Uint8Array;
  /**
   * `whsec_` (or nothing) and 24 to 64 bytes in base64, for signatures of `v1`; `whpk_` and the 32 bytes of a public key, for those of `v1a`. Of several,
   * one must fit: the old and the new one while a sender rotates.
   */
  readonly secrets: string | readonly string[];
  /** How far the timestamp may be from now, either way. Default 5 min. */
  readonly tolerance?: Duration;
  /** Default: the time of the system. */
  readonly clock?: Clock;
}

export interface VerifiedWebhook {
  /** The same for each attempt of one webhook: whoever has seen it may leave it. */
  readonly id: string;
  /** Of the attempt, not of the event. */
  readonly timestamp: Date;
}

export const DEFAULT_TOLERANCE = '5m';

const PREFIX = 'whsec_';
const PUBLIC_PREFIX = 'whpk_';
const MAX_ID_LENGTH = 512;
/** One signature takes 20 µs of hashing to check at most once; a header of 16 KiB holds a few hundred. */
const MAX_SIGNATURES = 100;
/** One takes 0.1 ms to verify by each public key. */
const MAX_ASYMMETRIC_SIGNATURES = 32;

/** A secret of `v1` or a public key of `v1a`. */
type Verifier = Buffer | KeyObject;

/**
 * Verifies a request by Standard Webhooks `v1` or `v1a`, whatever received it; pure but for the clock.
 *
 * - Any of the signatures may be of any of the secrets; signatures of other versions, or of a version of which there is no secret, are passed over.
 *   Signatures of `v1` are compared in constant time.
 * - A timestamp further away than `tolerance`, in the past or the future, is refused, since the signature of an old request stays right for ever.
 * - Within the tolerance a request can be replayed: remember the `id`s for twice as long where that matters.
 *
 * @throws WebhookUnverifiedError with a `reason`.
 * @throws RawBodyMissingError when `body` is neither text nor bytes.
 * @throws OptionsInvalidError when there is no secret, or one that is none.
 */
export function verifyWebhook(webhook: WebhookToVerify): VerifiedWebhook {
  const { headers, body, tolerance = DEFAULT_TOLERANCE, clock = systemClock } = webhook;
  const secrets = readSecrets(webhook.secrets);
  const toleranceMs = parseDuration(tolerance);
  if (toleranceMs === undefined)
    throw new OptionsInvalidError('verifyWebhook', ["tolerance must be a duration such as '5m'"]);
  if (typeof headers !== 'object' || headers === null)
    throw new OptionsInvalidError('verifyWebhook', ['headers must be those of the request']);
  if (typeof body !== 'string' && !isUint8Array(body))
    throw new RawBodyMissingError(
      'body must be the bytes of the request as they came, and not what was parsed of them.',
    );
  const id = required(headers, 'webhook-id');
  const timestamp = required(headers, 'webhook-timestamp');
  const signatures = required(headers, 'webhook-signature');
  // With a dot in the id, `id.timestamp.body` could be cut in more than one way.
  if (id.length > MAX_ID_LENGTH || id.includes('.'))
    throw new WebhookUnverifiedError('malformed-header', 'webhook-id is too long or has a dot.');
  if (!/^\d{1,12}$/.test(timestamp))
    throw new WebhookUnverifiedError('malformed-header', 'webhook-timestamp must be whole seconds since 1970.');
  const seconds = Number(timestamp);
  checkAge(seconds * 1_000 - clock.now(), toleranceMs);
  const content = Buffer.concat([
    Buffer.from(`${id}.${timestamp}.`),
    typeof body === 'string' ? Buffer.from(body) : body,
  ]);
  const ofV1 = signaturesOf(signatures, 'v1');
  const ofV1a = signaturesOf(signatures, 'v1a').slice(0, MAX_ASYMMETRIC_SIGNATURES);
  const isSigned = secrets.some((secret) =>
    Buffer.isBuffer(secret)
      ? isSignedWith(secret, content, ofV1)
      : ofV1a.some((signature) => verify(null, content, secret, signature)),
  );
  if (!isSigned) throw new WebhookUnverifiedError('no-matching-signature', 'No signature is that of a known secret.');
  return { id, timestamp: new Date(seconds * 1_000) };
}

/** @throws OptionsInvalidError that never shows a secret. */
export function readSecrets(given: unknown): readonly Verifier[] {
  const list: readonly unknown[] = Array.isArray(given) ? given : [given];
  const secrets = list.map((secret) => (typeof secret === 'string' ? verifierOf(secret) : undefined));
  const wrong = secrets.findIndex((secret) => secret === undefined);
  if (list.length === 0 || wrong >= 0)
    throw new OptionsInvalidError('VerifyWebhook', [
      list.length === 0
        ? 'there must be at least one secret'
        : `secrets[${wrong}] must be whsec_ followed by 24 to 64 bytes in base64, or whpk_ followed by 32`,
    ]);
  return secrets as readonly Verifier[];
}

function verifierOf(secret: string): Verifier | undefined {
  if (secret.startsWith(PUBLIC_PREFIX)) return publicKeyOf(secret);
  return secretBytes(secret.startsWith(PREFIX) ? secret : `${PREFIX}${secret}`);
}

function required(headers: WebhookHeaders, name: string): string {
  const value = isGetter(headers) ? headers.get(name) : headers[name];
  const text = typeof value === 'object' && value !== null ? value.join(' ') : value;
  if (typeof text !== 'string' || text.trim() === '')
    throw new WebhookUnverifiedError('missing-header', `The header ${name} is missing.`);
  return text.trim();
}

function isGetter(headers: WebhookHeaders): headers is { get(name: string): string | null } {
  return typeof (headers as { get?: unknown }).get === 'function';
}

function checkAge(aheadMs: number, toleranceMs: number): void {
  if (aheadMs < -toleranceMs)
    throw new WebhookUnverifiedError('timestamp-too-old', `The timestamp is ${-aheadMs} ms old.`);
  if (aheadMs > toleranceMs)
    throw new WebhookUnverifiedError('timestamp-too-new', `The timestamp is ${aheadMs} ms in the future.`);
}

/** Several header lines arrive joined by commas, which no signature ends with. */
function signaturesOf(header: string, version: string): readonly Buffer[] {
  return header
    .split(/,? +/, MAX_SIGNATURES)
    .filter((one) => one.startsWith(`${version},`))
    .map((one) => Buffer.from(one.slice(version.length + 1), 'base64'));
}

function isSignedWith(secret: Buffer, content: Buffer, digests: readonly Buffer[]): boolean {
  const expected = createHmac('sha256', secret).update(content).digest();
  return digests.some((digest) => digest.length === expected.length && timingSafeEqual(digest, expected));
}
