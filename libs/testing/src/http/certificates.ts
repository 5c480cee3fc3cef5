import { systemClock } from '@nest-baton/core';
import { BackendUnavailableError } from '../testing.errors.js';

/**
 * What is wrong with the certificate of a server on 127.0.0.1 and localhost, each by itself: everything else about it is right.
 * `self-signed` and `unknown-authority` are the ones that `ca` does not help with.
 */
export type CertificateFlaw = 'expired' | 'not-yet-valid' | 'wrong-host' | 'self-signed' | 'unknown-authority';

/** PEM. */
export interface ServerCertificate {
  readonly key: string;
  readonly cert: string;
}

/** A private authority, in PEM. */
export interface Authority {
  readonly key: string;
  readonly cert: string;
}

type SelfSigned = typeof import('selfsigned');
type Settings = NonNullable<Parameters<SelfSigned['generate']>[1]>;

const DAY_MS = 86_400_000;
const ELLIPTIC = { keyType: 'ec', curve: 'P-256', algorithm: 'sha256' } as const;

let authority: Promise<Authority> | undefined;

/**
 * The private authority of this process, made when first asked for: clients that trust it trust every receiver of the process.
 *
 * @throws BackendUnavailableError when `selfsigned` is not installed.
 */
export function sharedAuthority(): Promise<Authority> {
  authority ??= createAuthority('An authority for tests only');
  return authority;
}

/** @throws BackendUnavailableError when `selfsigned` is not installed. */
export async function serverCertificate(flaw?: CertificateFlaw): Promise<ServerCertificate> {
  const ca =
    flaw === 'self-signed'
      ? undefined
      : await (flaw === 'unknown-authority' ? createAuthority('A stranger') : sharedAuthority());
  const { generate } = await loadSelfSigned();
  const [from, to] = validity(flaw);
  const made = await generate([{ name: 'commonName', value: 'localhost' }], {
    ...ELLIPTIC,
    notBeforeDate: from,
    notAfterDate: to,
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      { name: 'subjectAltName', altNames: names(flaw) },
    ],
    ...(ca === undefined ? {} : { ca: { key: ca.key, cert: ca.cert } }),
  });
  return { key: made.private, cert: made.cert };
}

/** With names of their own: a client that finds the name of the one it trusts looks no further. */
async function createAuthority(name: string): Promise<Authority> {
  const { generate } = await loadSelfSigned();
  const now = systemClock.now();
  const made = await generate([{ name: 'commonName', value: name }], {
    ...ELLIPTIC,
    notBeforeDate: new Date(now - 30 * DAY_MS),
    notAfterDate: new Date(now + 30 * DAY_MS),
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  return { key: made.private, cert: made.cert };
}

function validity(flaw: CertificateFlaw | undefined): readonly [Date, Date] {
  const now = systemClock.now();
  const [from, to] = flaw === 'expired' ? [-2, -1] : flaw === 'not-yet-valid' ? [1, 2] : [-1, 1];
  return [new Date(now + from * DAY_MS), new Date(now + to * DAY_MS)];
}

function names(
  flaw: CertificateFlaw | undefined,
): Extract<NonNullable<Settings['extensions']>[number], { name: 'subjectAltName' }>['altNames'] {
  if (flaw === 'wrong-host') return [{ type: 2, value: 'somebody-else.test' }];
  return [
    { type: 2, value: 'localhost' },
    { type: 7, ip: '127.0.0.1' },
  ];
}

/** Optional: who needs no TLS needs no certificates. */
async function loadSelfSigned(): Promise<SelfSigned> {
  try {
    return await import('selfsigned');
  } catch (error) {
    throw new BackendUnavailableError('Certificates are made by the package selfsigned: install it.', { cause: error });
  }
}
