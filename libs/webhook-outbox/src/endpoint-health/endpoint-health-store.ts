import type { Queryable } from '@nest-baton/core';
import type { Observation } from './observation.js';

export interface HealthRules {
  /** Failures in a row that open the breaker; 0: never. */
  readonly breakerFailures: number;
  readonly breakerPauseMs: number;
  /** 0: never. */
  readonly disableAfterMs: number;
}

/** What an observation has changed, as its write found it. */
export interface HealthChange {
  readonly endpointId: string;
  readonly hasOpened: boolean;
  readonly hasRecovered: boolean;
  /** Announced now that it will be disabled. */
  readonly isWarned: boolean;
  readonly disabledReason: 'gone' | 'failing' | null;
  readonly pauseMs: number;
  readonly isFailing: boolean;
  /** In a row. */
  readonly failures: number;
  readonly failingSince: Date | null;
  readonly failingEvents: number;
}

/** So many different events must have failed before an endpoint is disabled for failing: one bad payload is not a dead receiver. */
const DISABLE_AFTER_EVENTS = 10;

export class EndpointHealthStore {
  constructor(
    private readonly on: Queryable,
    private readonly schema: string,
    private readonly rules: HealthRules,
  ) {}

  /**
   * Adds observations to the states of their endpoints, disables those that are gone or failed for too long, and tells what changed. An endpoint
   * that is well, and was, is not written, nor is one that was deleted.
   *
   * Locks states in order of id, then endpoints in order of id, and no delivery. Two processes that see the first failures of an endpoint at
   * the same time may count those of one.
   */
  async record(observations: ReadonlyMap<string, Observation>): Promise<readonly HealthChange[]> {
    const { breakerFailures, breakerPauseMs, disableAfterMs } = this.rules;
    const all = [...observations.values()];
    const { rows } = await this.on.query<HealthChange>(
      `WITH seen AS (
         SELECT * FROM unnest($1::uuid[], $2::bool[], $3::bool[], $4::bool[], $5::int[], $6::int[], $7::float8[], $8::bool[])
                AS s(endpoint_id, is_answered, is_delivered, is_failing, failures, events, pause_ms, is_gone)),
       ${this.judged()},
       ${this.written()},
       ${this.disabled()}
       SELECT j.endpoint_id AS "endpointId", j.now = 'open' AND j.was <> 'open' AS "hasOpened",
              j.is_delivered AND NOT j.is_failing AND (j.was = 'open' OR j.warned_at IS NOT NULL) AS "hasRecovered",
              j.is_long AND NOT j.is_delivered AND j.warned_at IS NULL AS "isWarned",
              d.disabled_reason AS "disabledReason", j.pause_ms AS "pauseMs", j.is_failing AS "isFailing",
              j.in_row AS failures, j.since AS "failingSince", j.in_all AS "failingEvents"
         FROM judged j LEFT JOIN disabled d ON d.id = j.endpoint_id`,
      [
        [...observations.keys()],
        all.map(({ isAnswered }) => isAnswered),
        all.map(({ isDelivered }) => isDelivered),
        all.map(({ isFailing }) => isFailing),
        all.map(({ failures }) => failures),
        all.map(({ events }) => events),
        all.map(({ pauseMs }) => pauseMs),
        all.map(({ isGone }) => isGone),
        breakerFailures,
        breakerPauseMs,
        disableAfterMs,
      ],
    );
    return rows;
  }

  /** Locks the states that there are, so that none is counted from an older version. */
  private judged(): string {
    return `before AS (
         SELECT b.* FROM ${this.schema}.webhook_endpoint_states b JOIN seen ON seen.endpoint_id = b.endpoint_id
          ORDER BY b.endpoint_id FOR UPDATE OF b),
       counted AS (
         SELECT s.*, b.endpoint_id AS known, b.open_until, b.probe_until, b.paused_until, b.warned_at,
                coalesce(b.breaker, 'closed') AS was,
                s.failures + CASE WHEN s.is_answered THEN 0 ELSE coalesce(b.failures, 0) END AS in_row,
                s.events + CASE WHEN s.is_delivered THEN 0 ELSE coalesce(b.failing_events, 0) END AS in_all,
                CASE WHEN s.is_failing THEN coalesce(CASE WHEN NOT s.is_delivered THEN b.failing_since END, statement_timestamp()) END AS since
           FROM seen s JOIN ${this.schema}.webhook_endpoints e ON e.id = s.endpoint_id AND e.state <> 'deleted'
           LEFT JOIN before b ON b.endpoint_id = s.endpoint_id
          WHERE s.is_failing OR s.pause_ms > 0 OR b.failing_since IS NOT NULL),
       judged AS (
         SELECT c.*, CASE WHEN $9::int > 0 AND in_row >= $9::int THEN 'open' WHEN is_answered THEN 'closed' ELSE was END AS now,
                $11::float8 > 0 AND in_all >= ${DISABLE_AFTER_EVENTS} AND coalesce(since <= ${ago('$11::float8 / 2')}, false) AS is_long,
                $11::float8 > 0 AND in_all >= ${DISABLE_AFTER_EVENTS} AND coalesce(since <= ${ago('$11::float8')}, false) AS is_too_long
           FROM counted c)`;
  }

  /** The new state of each, as judged. */
  private written(): string {
    return `written AS (
         INSERT INTO ${this.schema}.webhook_endpoint_states
                (endpoint_id, breaker, open_until, probe_until, failures, failing_since, failing_events, paused_until, warned_at)
         SELECT endpoint_id, now,
                CASE WHEN now = 'open' THEN CASE WHEN failures > 0 THEN statement_timestamp() + ${ms('$10::float8')} ELSE open_until END END,
                CASE WHEN now = 'open' AND failures = 0 THEN probe_until END,
                in_row, since, in_all,
                CASE WHEN pause_ms > 0 THEN greatest(paused_until, statement_timestamp() + ${ms('pause_ms')}) ELSE paused_until END,
                CASE WHEN since IS NOT NULL AND NOT is_delivered THEN coalesce(warned_at, CASE WHEN is_long THEN statement_timestamp() END) END
           FROM judged ORDER BY endpoint_id
             ON CONFLICT (endpoint_id) DO UPDATE
            SET breaker = EXCLUDED.breaker, open_until = EXCLUDED.open_until, probe_until = EXCLUDED.probe_until,
                failures = EXCLUDED.failures, failing_since = EXCLUDED.failing_since, failing_events = EXCLUDED.failing_events,
                paused_until = EXCLUDED.paused_until, warned_at = EXCLUDED.warned_at)`;
  }

  /** Endpoints that are gone, or failed for too long. */
  private disabled(): string {
    return `disabled AS (
         UPDATE ${this.schema}.webhook_endpoints e
            SET state = 'disabled', disabled_reason = CASE WHEN d.is_gone THEN 'gone' ELSE 'failing' END,
                version = e.version + 1, updated_at = clock_timestamp()
           FROM (SELECT e.id, j.is_gone FROM ${this.schema}.webhook_endpoints e JOIN judged j ON j.endpoint_id = e.id
                  WHERE e.state = 'active' AND (j.is_gone OR (j.is_failing AND j.is_too_long))
                  ORDER BY e.id FOR UPDATE OF e) d
          WHERE e.id = d.id RETURNING e.id, e.disabled_reason)`;
  }
}

function ms(value: string): string {
  return `make_interval(secs => ${value} / 1000)`;
}

function ago(value: string): string {
  return `statement_timestamp() - ${ms(value)}`;
}
