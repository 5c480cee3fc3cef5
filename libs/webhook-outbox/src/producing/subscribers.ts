/** More endpoints than that, and a relay makes the deliveries: a `send` must not take the longer the more there are. */
export const MOST_AT_ONCE = 200;

/** Read of the endpoints that want an event: enough to know that there are more than `MOST_AT_ONCE`. */
export const COUNTED = MOST_AT_ONCE + 1;

/**
 * As SQL: state, reason and end of a new delivery for an endpoint. For one that is disabled it is kept, and sent when somebody replays it.
 */
export function standingOf(endpoint: string, open: 'ready' | 'queued' = 'ready'): string {
  return `CASE ${endpoint}.state WHEN 'active' THEN '${open}' ELSE 'parked' END,
                CASE WHEN ${endpoint}.state <> 'active' THEN 'endpoint-disabled' END,
                CASE WHEN ${endpoint}.state <> 'active' THEN clock_timestamp() END`;
}

/** Whether it is an event type, or several by `*` for any text; pure. Nothing else may be one: it becomes a pattern of the database's. */
export function isTypePattern(pattern: unknown): pattern is string {
  return typeof pattern === 'string' && /^[\w.*]{1,128}$/.test(pattern);
}

/** As SQL: whether one of an endpoint's patterns, in which `*` stands for any text, matches the type. */
export function wants(patterns: string, type: string): string {
  return `EXISTS (SELECT FROM unnest(${patterns}) t WHERE ${type} LIKE replace(replace(t, '_', '!_'), '*', '%') ESCAPE '!')`;
}
