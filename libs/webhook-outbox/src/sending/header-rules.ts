import { validateHeaderName, validateHeaderValue } from 'node:http';

/** Set by this module, or ruled by HTTP itself: a user's value would forge a signature or smuggle a request. */
const RESERVED_HEADERS = new Set([
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
const RESERVED_PREFIX = 'webhook-';

/** Why a header may not be sent with requests; undefined: it may. Pure; never shows the value. By Node's own rules, which refuse CR, LF and NUL. */
export function refusedHeader(name: unknown, value: unknown): string | undefined {
  if (typeof name !== 'string') return 'a header has a name that is no text';
  const shown = `header ${JSON.stringify(name)}`;
  if (typeof value !== 'string') return `${shown} has a name or value that HTTP does not allow`;
  const lower = name.toLowerCase();
  if (RESERVED_HEADERS.has(lower) || lower.startsWith(RESERVED_PREFIX))
    return `${shown} is set by the module or reserved by HTTP`;
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    return undefined;
  } catch {
    return `${shown} has a name or value that HTTP does not allow`;
  }
}
