/**
 * What can go wrong behind the route, by the server's own names. The two routes tell it differently: what is 503 on the native one is 429 for each
 * item of a bulk, and what is 429 there is 500 here.
 */
export type FailureReason =
  | 'index_not_found'
  | 'source_not_found'
  | 'internal'
  | 'no_shards_available'
  | 'shard_rate_limited'
  | 'wal_full'
  | 'timeout'
  | 'router_load_shedding'
  | 'load_shedding'
  | 'circuit_breaker';

interface Told {
  readonly native: readonly [status: number, message: string];
  readonly item: readonly [status: number, type: string, reason: string];
}

const rateLimited = (cause: string, item: Told['item']): Told => ({ native: [429, `rate limited ${cause}`], item });
const hidden = (text: string): Told['item'] => [500, 'internal_exception', `${text} error`];

const TOLD: Readonly<Record<FailureReason, Told>> = {
  index_not_found: { native: [404, 'index `%` not found'], item: [404, 'index_not_found_exception', 'no such index'] },
  source_not_found: {
    native: [500, 'an internal error occurred: Ingest v2 source not found for index %'],
    item: [404, 'source_not_found_exception', 'no such source'],
  },
  internal: { native: [500, 'an internal error occurred: internal error'], item: hidden('internal') },
  no_shards_available: {
    native: [503, 'ingest service is unavailable (no shards available)'],
    item: [429, 'rate_limited_exception', 'no shards available'],
  },
  shard_rate_limited: rateLimited('shard rate limiting', [429, 'rate_limited_exception', 'shard rate limiting']),
  wal_full: rateLimited('wal full (memory or disk)', hidden('wal full')),
  timeout: {
    native: [500, 'an internal error occurred: request timed out'],
    item: [408, 'timeout_exception', 'timeout'],
  },
  router_load_shedding: rateLimited('router load shedding', hidden('router load shedding')),
  load_shedding: rateLimited('load shedding', hidden('load shedding')),
  circuit_breaker: rateLimited('circuit breaker', hidden('circuit breaker')),
};

export function nativeFailure(
  reason: FailureReason,
  index: string,
): { readonly status: number; readonly message: string } {
  const [status, message] = TOLD[reason].native;
  return { status, message: message.replace('%', () => index) };
}

export function itemFailure(
  reason: FailureReason,
  index: string,
): { readonly status: number; readonly type: string; readonly reason: string } {
  const [status, type, text] = TOLD[reason].item;
  return { status, type, reason: `${text} [${index}]` };
}
