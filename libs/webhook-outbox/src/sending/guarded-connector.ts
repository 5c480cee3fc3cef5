import { lookup as systemLookup } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { buildConnector } from 'undici';
import { isAddressAllowed } from './address-rules.js';
import { hostOf } from './destination.js';

export interface ResolvedAddress {
  readonly address: string;
  readonly family: number;
}

/** All addresses of a name, as `dns.lookup` with `all` gives them. */
export type Resolve = (
  hostname: string,
  done: (error: NodeJS.ErrnoException | null, addresses: readonly ResolvedAddress[]) => void,
) => void;

export const systemResolve: Resolve = (hostname, done) => {
  systemLookup(hostname, { all: true }, (error, addresses) => done(error, error === null ? addresses : []));
};

/** A connection was refused before it was dialled. */
export const REFUSED_ADDRESS = 'BATON_REFUSED_ADDRESS';

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
  resolve: Resolve = systemResolve,
): buildConnector.connector {
  const lookup: LookupFunction = (hostname, options, callback) => {
    resolve(hostname, (error, addresses) => {
      if (error !== null) return callback(error, []);
      const refused = addresses.find(({ address }) => !isAddressAllowed(address, allowAddresses));
      if (refused !== undefined || addresses.length === 0) return callback(refusal(hostname, refused?.address), []);
      if (options.all === true) return callback(null, [...addresses]);
      callback(null, addresses[0]?.address ?? '', addresses[0]?.family);
    });
  };
  const connect = buildConnector({ lookup, timeout: timeoutMs });
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
