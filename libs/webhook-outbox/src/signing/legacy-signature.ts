import { createHmac } from 'node:crypto';
import { refusedHeader } from '../sending/header-rules.js';

/** How a signature is written, each an HMAC-SHA256. */
export const LEGACY_SCHEMES = ['sha256-hex', 'hex', 'base64', 'timestamped'] as const;

/** A signature in a header of its own, beside those of Standard Webhooks, for receivers that knew another sender before. */
export interface LegacySignature {
  /**
   * `sha256-hex`: `sha256=` and the hex digits of that of the body. `hex`: these alone. `base64`: likewise in base64. None of these covers the time, so a
   * request that was overheard can be repeated for ever. `timestamped`: `t=<seconds>,v1=<hex>`, of `<seconds>.<body>`.
   */
  readonly scheme: (typeof LEGACY_SCHEMES)[number];
  /** Name of the header, such as `x-hub-signature-256`. */
  readonly header: string;
  /** What the receiver knows; its UTF-8 bytes are the key. 8 to 512 characters. Stored sealed and never given out; not touched by a rotation. */
  readonly secret: string;
  /** Gets the seconds since 1970 of the attempt, as `webhook-timestamp`. Default: no such header. */
  readonly timestampHeader?: string;
  /** Gets the event's type. Default: no such header. */
  readonly typeHeader?: string;
}

/** As it may be shown. */
export type ShownLegacySignature = Omit<LegacySignature, 'secret'>;

const KEYS: readonly string[] = ['scheme', 'header', 'secret', 'timestampHeader', 'typeHeader'];

/** Pure; names in lower case, or what is wrong, without the secret. */
export function checkLegacySignature(given: LegacySignature): LegacySignature | { readonly refused: string } {
  if (typeof given !== 'object' || given === null) return { refused: 'it must be an object' };
  const other = Object.keys(given).find((key) => !KEYS.includes(key));
  if (other !== undefined) return { refused: `${JSON.stringify(other)} is none of ${KEYS.join(', ')}` };
  const { scheme, header, secret, timestampHeader, typeHeader } = given;
  if (!LEGACY_SCHEMES.includes(scheme)) return { refused: `scheme must be one of ${LEGACY_SCHEMES.join(', ')}` };
  if (typeof secret !== 'string' || secret.length < 8 || secret.length > 512)
    return { refused: 'secret must be a text of 8 to 512 characters' };
  const names = [header, timestampHeader, typeHeader].filter((name) => name !== undefined);
  for (const name of names) {
    const refused = refusedHeader(name, '');
    if (refused !== undefined) return { refused };
  }
  const lower = names.map((name) => name.toLowerCase());
  if (header === undefined || new Set(lower).size < lower.length)
    return { refused: 'header is required, and no name may be there twice' };
  return {
    scheme,
    header: header.toLowerCase(),
    secret,
    ...(timestampHeader === undefined ? {} : { timestampHeader: timestampHeader.toLowerCase() }),
    ...(typeHeader === undefined ? {} : { typeHeader: typeHeader.toLowerCase() }),
  };
}

export function shownLegacySignature({ secret: _secret, ...shown }: LegacySignature): ShownLegacySignature {
  return shown;
}

/** Names of the headers that it adds. */
export function legacyHeaderNames({ header, timestampHeader, typeHeader }: ShownLegacySignature): readonly string[] {
  return [header, timestampHeader, typeHeader].filter((name) => name !== undefined);
}

/** The headers of one attempt; pure. */
export function legacyHeaders(
  { scheme, header, secret, timestampHeader, typeHeader }: LegacySignature,
  request: { readonly type: string; readonly body: string },
  timestampSeconds: number,
): Readonly<Record<string, string>> {
  const { type, body } = request;
  const hmac = createHmac('sha256', secret);
  const written = {
    'sha256-hex': () => `sha256=${hmac.update(body).digest('hex')}`,
    hex: () => hmac.update(body).digest('hex'),
    base64: () => hmac.update(body).digest('base64'),
    timestamped: () => `t=${timestampSeconds},v1=${hmac.update(`${timestampSeconds}.${body}`).digest('hex')}`,
  };
  return {
    [header]: written[scheme](),
    ...(timestampHeader === undefined ? {} : { [timestampHeader]: String(timestampSeconds) }),
    ...(typeHeader === undefined ? {} : { [typeHeader]: type }),
  };
}
