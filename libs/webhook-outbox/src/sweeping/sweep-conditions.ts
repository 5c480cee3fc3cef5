import { lacksToken } from '../limiting/token-bucket.js';

/** As SQL: states of a delivery that somebody may still have to send. */
export const OPEN = `'queued', 'ready', 'leased'`;

/** As SQL: a request to the endpoint `e` with the state `s` may be started now. */
export const IS_ELIGIBLE = `e.state = 'active' AND (s.paused_until IS NULL OR s.paused_until <= statement_timestamp())
      AND (s.breaker IS DISTINCT FROM 'open'
           OR (s.open_until <= statement_timestamp() AND (s.probe_until IS NULL OR s.probe_until <= statement_timestamp())))
      AND NOT ${lacksToken('e', 's')}`;

/** As SQL: so many milliseconds from now. */
export function later(parameter: string): string {
  return `statement_timestamp() + make_interval(secs => ${parameter}::float8 / 1000)`;
}

/**
 * As SQL: when a sweep should look at an open delivery again. One that is leased, soon after a look for expired leases could take it back; one that
 * is due and may not be sent, after the grace; one that waits for a token, at some time before it, so that not all of an endpoint's come at once.
 */
export function nextLook(delivery: string, graceMs: string, isTokenLacking = 'false'): string {
  return `CASE WHEN ${delivery}.state = 'leased' THEN greatest(${delivery}.lease_until, statement_timestamp()) + interval '2 s'
               WHEN ${delivery}.next_at <= statement_timestamp() AND ${isTokenLacking} THEN ${later(`random() * ${graceMs}`)}
               WHEN ${delivery}.next_at <= statement_timestamp() THEN ${later(graceMs)}
               ELSE ${delivery}.next_at END`;
}
