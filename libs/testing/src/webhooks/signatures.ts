import { createPublicKey, verify as verifyBytes } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { describeError, OptionsInvalidError } from '@nest-baton/core';
import { BackendUnavailableError } from '../testing.errors.js';

/** What became of the check of a request's signature. */
export type Verification =
  | { readonly isVerified: true; /** Place in the list of secrets, from 0. */ readonly secret: number }
  | { readonly isVerified: false; /** What the library said, secret by secret. */ readonly reason: string };

interface Signed {
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

type WebhookClass = typeof import('standardwebhooks').Webhook;

/** The one that the reference library has built in, and will not be talked out of. */
const LIBRARY_TOLERANCE_MS = 300_000;
const PUBLIC_KEY_PREFIX = 'whpk_';

/**
 * Checks signatures by somebody else's code: `v1` by the reference library `standardwebhooks`. It has no `v1a`, nor has any other library that
 * is at hand: those (keys `whpk_...`) are checked by the ed25519 of Node itself, over content put together here.
 */
export class SignatureChecker {
  private constructor(
    private readonly webhook: WebhookClass | undefined,
    private readonly toleranceMs: number,
  ) {}

  /** @throws OptionsInvalidError when the tolerance is longer than the library's. */
  static async load(toleranceMs = LIBRARY_TOLERANCE_MS): Promise<SignatureChecker> {
    if (!(toleranceMs >= 0 && toleranceMs <= LIBRARY_TOLERANCE_MS))
      throw new OptionsInvalidError('WebhookReceiver', [
        `toleranceMs must be 0 to ${LIBRARY_TOLERANCE_MS}, as the reference library allows no more; it is ${toleranceMs}`,
      ]);
    return new SignatureChecker(await loadWebhook(), toleranceMs);
  }

  /**
   * Whether one of the secrets fits. The library compares the timestamp with the time of this call, five minutes either way; `toleranceMs`, at
   * most as much, with `receivedAt`.
   *
   * @throws BackendUnavailableError when `standardwebhooks` is not installed.
   */
  check(request: Signed & { readonly receivedAt: number }, secrets: readonly string[]): Verification {
    const timestamp = Number(request.headers['webhook-timestamp']);
    const offMs = Math.abs(timestamp * 1000 - request.receivedAt);
    // A timestamp is whole seconds.
    if (offMs > this.toleranceMs + 1000) return { isVerified: false, reason: `the timestamp is ${offMs} ms off` };
    const reasons: string[] = [];
    for (const [secret, key] of secrets.entries()) {
      const reason = key.startsWith(PUBLIC_KEY_PREFIX) ? refuseV1a(request, key) : this.refuseV1(request, key);
      if (reason === undefined) return { isVerified: true, secret };
      reasons.push(reason);
    }
    return {
      isVerified: false,
      reason: reasons.length === 0 ? 'there is no secret to check with' : reasons.join('; '),
    };
  }

  private refuseV1(request: Signed, secret: string): string | undefined {
    if (this.webhook === undefined)
      throw new BackendUnavailableError('Signatures are checked by the package standardwebhooks: install it.');
    try {
      new this.webhook(secret).verify(request.body, flat(request.headers), { jsonParse: false });
      return undefined;
    } catch (error) {
      return describeError(error);
    }
  }
}

function refuseV1a({ headers, body }: Signed, publicKey: string): string | undefined {
  const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures } = flat(headers);
  if (id === undefined || timestamp === undefined || signatures === undefined) return 'Missing required headers';
  if (!/^\d+$/.test(timestamp)) return 'Invalid timestamp';
  const raw = Buffer.from(publicKey.slice(PUBLIC_KEY_PREFIX.length), 'base64');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: raw.toString('base64url') }, format: 'jwk' });
  const content = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  const isSigned = signatures
    .split(' ')
    .filter((one) => one.startsWith('v1a,'))
    .some((one) => verifyBytes(null, content, key, Buffer.from(one.slice('v1a,'.length), 'base64')));
  return isSigned ? undefined : 'No matching v1a signature found';
}

function flat(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Array.isArray(value) ? value.join(' ') : value]],
    ),
  );
}

/** Optional: who only receives needs no checker. */
async function loadWebhook(): Promise<WebhookClass | undefined> {
  try {
    return (await import('standardwebhooks')).Webhook;
  } catch {
    return undefined;
  }
}
