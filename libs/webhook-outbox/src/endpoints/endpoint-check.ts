import { checkDestination, type DestinationRules } from '../sending/destination.js';
import { type CheckedLimits, checkLimits, LIMIT_NAMES } from '../limiting/endpoint-limits.js';
import { type CheckedOrder, checkOnDead, checkOrder } from '../ordering/endpoint-order.js';
import { refusedHeader } from '../sending/header-rules.js';
import { checkLegacySignature, legacyHeaderNames, type LegacySignature } from '../signing/legacy-signature.js';
import { isTypePattern } from '../producing/subscribers.js';
import { isStoredText } from '../schema/stored-text.js';
import { readKey, type SignatureKind } from '../signing/signing-key.js';
import { EndpointInvalidError } from '../webhook-outbox.errors.js';
import type { EndpointChange, NewEndpoint } from './endpoint.js';

/** Undefined: as it is. */
export interface CheckedChange {
  readonly url: string | undefined;
  readonly types: readonly string[] | undefined;
  readonly headers: Readonly<Record<string, string>> | undefined;
  /** `null`: none any more. */
  readonly legacySignature: LegacySignature | null | undefined;
  readonly limits: CheckedLimits;
  readonly onDead: 'halt' | 'skip' | undefined;
}

export interface CheckedEndpoint {
  readonly url: string;
  readonly types: readonly string[];
  readonly tenant: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly legacySignature: LegacySignature | null;
  readonly signatures: readonly SignatureKind[];
  readonly limits: CheckedLimits;
  readonly order: CheckedOrder;
  /** Absent: one is made. */
  readonly secret: Buffer | undefined;
}

const MAX_TENANT_LENGTH = 256;
const MAX_HEADERS = 32;
const MAX_HEADER_BYTES = 8_192;
const MAX_TYPES = 100;

/** Pure. @throws EndpointInvalidError naming the first thing wrong; header values and secrets are never shown. */
export function checkEndpoint(endpoint: NewEndpoint, rules: DestinationRules): CheckedEndpoint {
  if (typeof endpoint !== 'object' || endpoint === null) throw new EndpointInvalidError('endpoint must be an object.');
  const url = checkUrl(endpoint.url, rules);
  const { tenant = '' } = endpoint;
  if (!isStoredText(tenant, MAX_TENANT_LENGTH))
    throw new EndpointInvalidError(`tenant must be a text of at most ${MAX_TENANT_LENGTH} characters.`);
  const headers = checkHeaders(endpoint.headers ?? {});
  return {
    url,
    types: checkTypes(endpoint.types ?? ['*']),
    tenant,
    headers,
    legacySignature: checkLegacy(endpoint.legacySignature, headers) ?? null,
    signatures: checkSignatures(endpoint.signatures ?? ['v1']),
    limits: checkLimits(endpoint),
    order: checkOrder(endpoint),
    secret: endpoint.secret === undefined ? undefined : checkSecret(endpoint.secret),
  };
}

const CHANGEABLE: readonly string[] = ['url', 'types', 'headers', 'legacySignature', 'onDead', ...LIMIT_NAMES];

/** Pure. @throws EndpointInvalidError also for a field that cannot be changed, or for no change at all. */
export function checkChange(change: EndpointChange, rules: DestinationRules): CheckedChange {
  const given = Object.entries(change ?? {}).filter(([, value]) => value !== undefined);
  const other = given.find(([name]) => !CHANGEABLE.includes(name));
  if (other !== undefined || given.length === 0)
    throw new EndpointInvalidError(`An update is of ${CHANGEABLE.join(', ')}; got ${other?.[0] ?? 'nothing'}.`);
  const { url, types } = change;
  const headers = change.headers === undefined ? undefined : checkHeaders(change.headers);
  return {
    url: url === undefined ? undefined : checkUrl(url, rules),
    types: types === undefined ? undefined : checkTypes(types),
    headers,
    legacySignature: checkLegacy(change.legacySignature, headers ?? {}),
    limits: checkLimits(change),
    onDead: checkOnDead(change.onDead),
  };
}

function checkUrl(url: string, rules: DestinationRules): string {
  const destination = checkDestination(url, rules);
  if ('refused' in destination) throw new EndpointInvalidError(`url is refused: ${destination.refused}.`);
  return destination.url.href;
}

function checkTypes(types: readonly string[]): readonly string[] {
  if (!isList(types) || types.length === 0 || types.length > MAX_TYPES)
    throw new EndpointInvalidError(`types must be a list of 1 to ${MAX_TYPES} event types.`);
  for (const type of types as readonly unknown[])
    if (!isTypePattern(type))
      throw new EndpointInvalidError(
        `types may hold letters, digits, underscores, dots and '*', at most 128 characters each, such as run.*; not ${typeof type === 'string' ? JSON.stringify(type.slice(0, 200)) : typeof type}.`,
      );
  return [...new Set(types)];
}

function checkHeaders(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  // What is no plain object, a Map or Headers, would seem to be empty.
  if (Object.prototype.toString.call(headers) !== '[object Object]')
    throw new EndpointInvalidError('headers must be an object of names and values.');
  const checked: [string, string][] = [];
  const names = new Set<string>();
  let bytes = 0;
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase();
    const refused = refusedHeader(name, value);
    if (refused !== undefined) throw new EndpointInvalidError(`${refused}.`);
    if (names.has(lower)) throw new EndpointInvalidError(`header ${JSON.stringify(name)} is there twice.`);
    names.add(lower);
    bytes += name.length + value.length;
    checked.push([lower, value]);
  }
  if (checked.length > MAX_HEADERS || bytes > MAX_HEADER_BYTES)
    throw new EndpointInvalidError(`headers may be at most ${MAX_HEADERS}, with ${MAX_HEADER_BYTES} bytes together.`);
  return Object.fromEntries(checked);
}

function checkLegacy(
  given: LegacySignature | null | undefined,
  headers: Readonly<Record<string, string>>,
): LegacySignature | null | undefined {
  if (given === undefined || given === null) return given;
  const checked = checkLegacySignature(given);
  if ('refused' in checked) throw new EndpointInvalidError(`legacySignature is refused: ${checked.refused}.`);
  const taken = legacyHeaderNames(checked).find((name) => name in headers);
  if (taken !== undefined)
    throw new EndpointInvalidError(`header ${JSON.stringify(taken)} is that of the legacy signature.`);
  return checked;
}

function checkSignatures(signatures: readonly SignatureKind[]): readonly SignatureKind[] {
  const kinds = new Set<unknown>(isList(signatures) ? signatures : []);
  const { size } = kinds;
  if (!kinds.delete('v1') || size > 2 || (size === 2 && !kinds.has('v1a')))
    throw new EndpointInvalidError("signatures must be ['v1'] or ['v1', 'v1a'].");
  return size === 2 ? ['v1', 'v1a'] : ['v1'];
}

/** @throws EndpointInvalidError, without the secret. */
export function checkSecret(secret: string, kind: SignatureKind = 'v1'): Buffer {
  const bytes = typeof secret === 'string' ? readKey(kind, secret) : undefined;
  if (bytes === undefined)
    throw new EndpointInvalidError(
      kind === 'v1'
        ? 'secret must be whsec_ followed by 24 to 64 bytes in base64; leave it out to get one.'
        : 'secret must be whsk_ followed by the 32 bytes of an ed25519 key in base64, alone or with its public key; leave it out to get one.',
    );
  return bytes;
}

/** Unlike `Array.isArray` it keeps the elements' type. */
function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value);
}
