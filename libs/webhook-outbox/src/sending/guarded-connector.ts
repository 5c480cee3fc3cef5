import { isIP, type LookupFunction } from 'node:net';
import { buildConnector } from 'undici';
import { isAddressAllowed } from './address-rules.js';
import { hostOf } from './destination.js';
import { boundedResolve, type Resolve, systemResolve } from './resolving.js';

/** A connection was refused before it was dialled. */
export const REFUSED_ADDRESS = 'BATON_REFUSED_ADDRESS';

/** What only tests replace. */
export interface NetworkParts {
  readonly resolve?: Resolve;
  readonly resolveTimeoutMs?: number;
  /** Authorities to trust instead of those of Node, in PEM. */
  readonly ca?: string;
}

/** A name server that takes longer is taken for gone; the next attempt asks again. As in other guards of this kind. */
const RESOLVE_TIMEOUT_MS = 5_000;

/**
 * Connects for undici, and only to addresses that the rules allow.
 *
 * - The address that was checked is the one that is dialled: the name is resolved once, here, so an answer that changes between the check
 *   and the connect (DNS rebinding) cannot matter.
 * - A name is refused when any of its addresses is refused: a mixed answer is an attack or a mistake.
 * - IP literals are checked too; for those undici asks no resolver.
 */
export function guardedConnector(
  allowAddresses: readonly string[],
  timeoutMs: number,
  { resolve = systemResolve, resolveTimeoutMs = RESOLVE_TIMEOUT_MS, ca }: NetworkParts = {},
): buildConnector.connector {
  const bounded = boundedResolve(resolve, resolveTimeoutMs);
  const lookup: LookupFunction = (hostname, options, callback) => {
    bounded(hostname, (error, addresses) => {
      if (error !== null) return callback(error, []);
      const refused = addresses.find(({ address }) => !isAddressAllowed(address, allowAddresses));
      if (refused !== undefined || addresses.length === 0) return callback(refusal(hostname, refused?.address), []);
      if (options.all === true) return callback(null, [...addresses]);
      callback(null, addresses[0]?.address ?? '', addresses[0]?.family);
    });
  };
  const connect = buildConnector({ lookup, timeout: timeoutMs, ca });
  return (options, callback) => {
    const host = hostOf(options);
    if (isIP(host) !== 0 && !isAddressAllowed(host, allowAddresses)) callback(refusal(host, host), null);
    else connect(options, callback);
  };
}

function refusal(host: string, address: string | undefined): NodeJS.ErrnoException {
  const what = address === undefined ? 'has no address' : `is at ${address}, which is not a public address`;
  return Object.assign(new Error(`${host} ${what}`), { code: REFUSED_ADDRESS });
}
