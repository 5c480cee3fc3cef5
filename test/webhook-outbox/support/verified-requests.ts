import { createHmac } from 'node:crypto';
import type { ReceivedWebhook } from '@nest-baton/testing';
import { type Endpoint, WebhookEndpointsService } from '@nest-baton/webhook-outbox';
import { Webhook } from 'standardwebhooks';
import { Webhook as SvixWebhook } from 'svix';

/** A request as far as its signature is concerned. */
export type SignedRequest = Pick<ReceivedWebhook, 'path' | 'headers' | 'body' | 'isWhole' | 'receivedAt'>;

/** Libraries that know nothing of ours. */
const LIBRARIES = [
  { name: 'standardwebhooks', Verifier: Webhook },
  { name: 'svix', Verifier: SvixWebhook },
] as const;

/** What the services of this test file have given out, for good. */
const secrets = new Set<string>();

/** One that no service gave out. */
export function trust(secret: string): void {
  secrets.add(secret);
}

for (const method of ['create', 'rotateSecret'] as const) {
  const prototype = WebhookEndpointsService.prototype as unknown as Record<string, (...args: unknown[]) => unknown>;
  const original = prototype[method]!;
  prototype[method] = async function remembering(this: unknown, ...args: unknown[]): Promise<unknown> {
    const given = (await original.apply(this, args)) as Endpoint & { readonly secret: string };
    if (given.secret.startsWith('whsec_')) secrets.add(given.secret);
    return given;
  };
}

/** By each library, as at the time when it came; `clocksOffMs`: how far the sender's clock may be from the receiver's. */
export function refusalOf(
  request: SignedRequest,
  known: Iterable<string> = secrets,
  clocksOffMs = 0,
): string | undefined {
  const headers = request.headers as Record<string, string>;
  const timestampMs = Number(headers['webhook-timestamp']) * 1_000;
  if (Math.abs(timestampMs - request.receivedAt) > clocksOffMs + 60_000) return 'its timestamp is far off';
  const likely = [...known].filter((secret) => mayHaveSigned(secret, request));
  for (const { name, Verifier } of LIBRARIES) {
    const isVerified = likely.some((secret) => {
      try {
        at(timestampMs, () => new Verifier(secret).verify(request.body.toString(), headers));
        return true;
      } catch {
        return false;
      }
    });
    if (!isVerified) return `${name} does not verify it`;
  }
  return undefined;
}

/** The libraries take long to try hundreds of secrets. */
function mayHaveSigned(secret: string, { headers, body }: SignedRequest): boolean {
  const signed = headers as Record<string, string>;
  const hmac = createHmac('sha256', Buffer.from(secret.replace('whsec_', ''), 'base64'))
    .update(`${signed['webhook-id']}.${signed['webhook-timestamp']}.`)
    .update(body);
  return signed['webhook-signature']?.includes(hmac.digest('base64')) === true;
}

/** @throws naming the first request that is not verified. Those that were not read to their end are left out. */
export function verifyRequests(
  { requests }: { readonly requests: readonly SignedRequest[] },
  options: { readonly secrets?: readonly string[]; readonly clocksOffMs?: number } = {},
): void {
  for (const request of requests) {
    if (!request.isWhole) continue;
    const refusal = refusalOf(request, options.secrets, options.clocksOffMs);
    if (refusal !== undefined) throw new Error(`A request to ${request.path}: ${refusal}`);
  }
}

/** The libraries ask for the time by themselves, and the test may have gone on for minutes. */
function at(ms: number, verify: () => void): void {
  const { now } = Date;
  Date.now = () => ms;
  try {
    verify();
  } finally {
    Date.now = now;
  }
}
