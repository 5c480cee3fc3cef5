import type { LegacySignature } from '../signing/legacy-signature.js';
import type { KeyRing, SealedSecret } from './key-ring.js';

type Headers = Readonly<Record<string, string>>;

/** Bound to its place: a sealed secret does not open as headers, nor the other way round. */
export const headersPlace = (endpointId: string): string => `${endpointId}/headers`;

/** `null` without any. @throws KeyRingInvalidError when no key is configured. */
export function sealHeaders(ring: KeyRing, headers: Headers, endpointId: string): SealedSecret | null {
  if (Object.keys(headers).length === 0) return null;
  return ring.seal(Buffer.from(JSON.stringify(headers)), headersPlace(endpointId));
}

/** @throws KeyRingInvalidError */
export function openHeaders(ring: KeyRing, sealed: SealedSecret, endpointId: string): Headers {
  return JSON.parse(ring.open(sealed, headersPlace(endpointId)).toString()) as Headers;
}

export const legacyPlace = (endpointId: string): string => `${endpointId}/legacy`;

/** `null` without one. @throws KeyRingInvalidError when no key is configured. */
export function sealLegacy(ring: KeyRing, legacy: LegacySignature | null, endpointId: string): SealedSecret | null {
  return legacy === null ? null : ring.seal(Buffer.from(JSON.stringify(legacy)), legacyPlace(endpointId));
}

/** @throws KeyRingInvalidError */
export function openLegacy(ring: KeyRing, sealed: SealedSecret, endpointId: string): LegacySignature {
  return JSON.parse(ring.open(sealed, legacyPlace(endpointId)).toString()) as LegacySignature;
}
