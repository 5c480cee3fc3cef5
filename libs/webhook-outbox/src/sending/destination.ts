import { isIP } from 'node:net';
import { isAddressAllowed } from './address-rules.js';
import { isPortAllowed } from './port-rules.js';

export interface DestinationRules {
  readonly allowHttp: boolean;
  /** Networks in CIDR notation that may be dialled whatever they are. */
  readonly allowAddresses: readonly string[];
}

export type Destination = { readonly url: URL } | { readonly refused: string };

const MAX_URL_LENGTH = 2_048;
const NO_URL = `not a URL of at most ${MAX_URL_LENGTH} characters, as it is sent`;

/**
 * What may be said of a URL before its name is resolved; pure. Judges the parsed URL and never the text: WHATWG parsing turns
 * `http://2130706433`, `http://0x7f.1` and full-width digits into `127.0.0.1`.
 */
export function checkDestination(text: string, rules: DestinationRules): Destination {
  if (typeof text !== 'string' || text.length > MAX_URL_LENGTH || !URL.canParse(text)) return { refused: NO_URL };
  const url = new URL(text);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && rules.allowHttp))
    return { refused: `the protocol ${url.protocol} is not allowed; use https:` };
  if (url.username !== '' || url.password !== '')
    return { refused: 'credentials in the URL are not allowed; use headers' };
  const host = hostOf(url);
  if (host === '') return { refused: 'the host is empty' };
  if (isIP(host) !== 0 && !isAddressAllowed(host, rules.allowAddresses))
    return { refused: `the address ${host} is not public; see allowAddresses` };
  const port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
  if (!isPortAllowed(port, rules.allowHttp))
    return { refused: `the port ${port} is not allowed; use 443, or one above 1023 that no other service is known by` };
  url.hash = '';
  // As it is stored, and checked again before each request; what is no ASCII is longer then.
  if (url.href.length > MAX_URL_LENGTH) return { refused: NO_URL };
  return { url };
}

/** Host name or IP address without brackets and without the dot that ends a fully qualified name. */
export function hostOf(url: { readonly hostname: string }): string {
  const bare = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
  return bare.endsWith('.') ? bare.slice(0, -1) : bare;
}
