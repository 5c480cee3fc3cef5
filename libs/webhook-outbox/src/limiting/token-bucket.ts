/** Less than a whole token by what adding fractions loses. */
export const WHOLE_TOKEN = '0.999999';

/** As SQL: the endpoint `e` has a limit that all processes share. */
export function isLimited(endpoint: string): string {
  return `(${endpoint}.rate_per_second IS NOT NULL OR ${endpoint}.global_max_in_flight IS NOT NULL)`;
}

/** As SQL: what is in the bucket `s` at `now`; one that was never used is full. A clock that was set back refills nothing. */
export function refilled(s: string, now: string, rate: string, burst: string): string {
  return `least(${burst}, coalesce(${s}.tokens, ${burst}) + greatest(0, extract(epoch FROM ${now} - ${s}.tokens_at)::float8) * ${rate})`;
}

/** As SQL: the endpoint `e` with the state `s` has a rate, and no token now. */
export function lacksToken(e: string, s: string): string {
  return `coalesce(${tokensOf(e, s)} < ${WHOLE_TOKEN}, false)`;
}

/** As SQL: when the endpoint `e` with the state `s`, which lacks one, has its next token. */
export function nextTokenAt(e: string, s: string): string {
  return `statement_timestamp() + make_interval(secs => (1 - ${tokensOf(e, s)}) / ${e}.rate_per_second)`;
}

/**
 * As SQL: tokens that are worth a look of their own. One, or where more come than ten in a second and the bucket takes them, those of a tenth of a
 * second: a look for each would be a storm of looks.
 */
export function worthLooking(rate: string, burst: string): string {
  return `greatest(1, least(${burst} / 2.0, ${rate} / 10))`;
}

function tokensOf(e: string, s: string): string {
  return refilled(s, 'statement_timestamp()', `${e}.rate_per_second`, `${e}.rate_burst`);
}
