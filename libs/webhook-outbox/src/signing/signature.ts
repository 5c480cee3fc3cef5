import { createHmac, hash } from 'node:crypto';

const PREFIX = 'whsec_';

/** The bytes behind `whsec_...`, or `undefined` when it is not 24 to 64 bytes in base64, as Standard Webhooks asks. */
export function secretBytes(secret: string): Buffer | undefined {
  if (!secret.startsWith(PREFIX)) return undefined;
  const text = secret.slice(PREFIX.length);
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64');
  return bytes.length >= 24 && bytes.length <= 64 && sameBase64(bytes, text) ? bytes : undefined;
}

export function secretText(bytes: Buffer): string {
  return `${PREFIX}${bytes.toString('base64')}`;
}

/** Standard Webhooks `v1`: HMAC-SHA256 over `id.timestamp.body`, byte for byte as sent. */
export function signV1(secret: Buffer, webhookId: string, timestampSeconds: number, body: string): string {
  const hmac = createHmac('sha256', secret).update(`${webhookId}.${timestampSeconds}.`).update(body, 'utf8');
  return `v1,${hmac.digest('base64')}`;
}

/**
 * `webhook-id` of one event for one endpoint: a digest of the two, so that it is the same for each attempt, by whichever process and also
 * after the delivery's row was made again; and it tells receivers nothing about our ids.
 */
export function webhookIdOf(outboxId: string, endpointId: string): string {
  return `msg_${hash('sha256', `${outboxId}\0${endpointId}`).slice(0, 32)}`;
}

function sameBase64(bytes: Buffer, text: string): boolean {
  return bytes.toString('base64').replace(/=+$/, '') === text.replace(/=+$/, '');
}
