import type { Queryable } from '@nest-baton/core';
import type { AttemptOutcome, DeliveryReason, DeliveryState } from './delivery.js';
import { handOffsOf, isFannedOut } from '../retaining/retention-store.js';
import type { Settlement } from '../outcomes/outcome.js';

/** A row that this process may write until its lease ends. `fence` is a bigint, as text. */
export interface Claim {
  readonly id: string;
  readonly fence: string;
}

/** What is written of an attempt that is over. */
export interface EndedAttempt extends Claim {
  readonly attempt: number;
  readonly startedAt: string;
  readonly durationMs: number;
  readonly settlement: Settlement;
}

/** Open, and in nobody's hands. */
const UNHELD = `'queued', 'ready', 'parked'`;

const FENCED = `unnest($1::bigint[], $2::bigint[]) AS w(id, fence)`;

/** The statements on what is claimed: renewal, release, settle. Every comparison of times is by the database's clock. */
export class DeliveryStore {
  /** @param deletesDelivered what is delivered is deleted, its history and, when nothing is left of it, its event too. */
  constructor(
    private readonly on: Queryable,
    private readonly schema: string,
    private readonly deletesDelivered = false,
  ) {}

  /** Extends leases; returns the ids that are still ours. Locks in order of id, as every write of many rows does. */
  async renew(claims: readonly Claim[], leaseMs: number): Promise<ReadonlySet<string>> {
    const { rows } = await this.on.query<{ id: string }>(
      `WITH wanted AS (SELECT * FROM ${FENCED}), locked AS (${this.lockedOf('wanted')})
       UPDATE ${this.schema}.webhook_deliveries d SET lease_until = ${leaseUntil('$3')}
         FROM locked l WHERE d.id = l.id RETURNING d.id`,
      [...columnsOf(claims), leaseMs],
    );
    return new Set(rows.map(({ id }) => id));
  }

  /**
   * Hands back, due from now on; `attempts` is what it shall be, so what the claim has counted and nobody sent is undone. No loss is counted. A request that was
   * cut is in the history, outcome unknown.
   */
  async release(claims: readonly (Claim & { readonly attempts: number })[]): Promise<number> {
    const { rowCount } = await this.on.query(
      `WITH wanted AS (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::int[]) AS w(id, fence, attempts)),
       locked AS (${this.lockedOf('wanted', 'd.started_at, d.attempts > w.attempts AS is_undone')}),
       cut AS (
         INSERT INTO ${this.schema}.webhook_attempts (delivery_id, attempt, started_at, outcome, reason, is_late)
         SELECT id, attempts, started_at, 'unknown', 'cut', false FROM locked WHERE started_at IS NOT NULL AND NOT is_undone)
       UPDATE ${this.schema}.webhook_deliveries d
          SET state = 'ready', lease_until = NULL, attempts = l.attempts, next_at = clock_timestamp(),
              started_at = CASE WHEN NOT l.is_undone THEN d.started_at END,
              last_outcome = CASE WHEN NOT l.is_undone THEN d.last_outcome ELSE
                (SELECT a.outcome FROM ${this.schema}.webhook_attempts a WHERE a.delivery_id = d.id ORDER BY a.id DESC LIMIT 1) END
         FROM locked l WHERE d.id = l.id RETURNING d.id`,
      [...columnsOf(claims), claims.map(({ attempts }) => attempts)],
    );
    return rowCount;
  }

  /**
   * Writes what attempts came to, and their history; returns the ids of those that moved their delivery. Each delivery is in the list at most
   * once.
   *
   * - The row is ours while it is leased under our fence. Where it is not, the outcome goes into the history as late and moves nothing, but
   *   for a 2xx: it delivers a row that nobody holds.
   * - Where success deletes, a delivery that is gone was delivered: by this call, or by whoever had it after us.
   * - Repeating after an answer that was lost writes nothing twice and gives the same answer: the history names an attempt by its start.
   */
  async settle(ended: readonly EndedAttempt[]): Promise<ReadonlySet<string>> {
    const of = <T>(read: (settlement: Settlement) => T): T[] => ended.map(({ settlement }) => read(settlement));
    const { rows } = await this.on.query<{ id: string }>(
      `WITH wanted AS (
         SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::float8[], $5::text[], $6::text[], $7::int[], $8::text[],
                              $9::int[], $10::timestamptz[], $11::int[])
                AS w(id, fence, new_state, retry_in_ms, outcome, new_reason, status, error, attempt, began_at, duration_ms)),
       locked AS (${this.lockedForOutcome()}),
       written AS (
         UPDATE ${this.schema}.webhook_deliveries d
            SET state = l.new_state, lease_until = NULL, lease_losses = 0,
                next_at = CASE l.new_state WHEN 'ready'
                          THEN clock_timestamp() + make_interval(secs => l.retry_in_ms / 1000) ELSE d.next_at END,
                settled_at = CASE l.new_state WHEN 'ready' THEN NULL ELSE clock_timestamp() END,
                last_outcome = l.outcome, reason = l.new_reason, last_status = l.status, last_error = l.error
           FROM locked l WHERE d.id = l.id AND l.is_moved AND NOT l.is_deleted),
       touched AS (
         UPDATE ${this.schema}.webhook_deliveries d SET fence = d.fence FROM locked l WHERE d.id = l.id AND NOT l.is_moved),
       ${this.deletesDelivered ? this.deleted() : ''}logged AS (
         INSERT INTO ${this.schema}.webhook_attempts
                (delivery_id, attempt, started_at, duration_ms, outcome, reason, status, error, is_late)
         SELECT l.id, l.attempt, l.began_at, l.duration_ms, l.outcome, l.new_reason, l.status, l.error, NOT l.is_ours
           FROM locked l WHERE NOT l.is_deleted AND (l.is_moved OR NOT EXISTS (${this.loggedOf('l')})))
       SELECT w.id FROM wanted w LEFT JOIN locked l ON l.id = w.id
        WHERE l.is_moved OR EXISTS (${this.loggedOf('w')} AND NOT a.is_late)
           ${this.deletesDelivered ? `OR w.new_state = 'delivered' AND l.id IS NULL` : ''}`,
      [
        ...columnsOf(ended),
        of(({ state }): DeliveryState => state),
        of(({ retryInMs }) => retryInMs),
        of(({ outcome }): AttemptOutcome => outcome),
        of(({ reason }): DeliveryReason => reason),
        of(({ status }) => status),
        of(({ error }) => error),
        ended.map(({ attempt }) => attempt),
        ended.map(({ startedAt }) => startedAt),
        ended.map(({ durationMs }) => durationMs),
      ],
    );
    return new Set(rows.map(({ id }) => id));
  }

  /**
   * Each delivery that is there, in order of id, also one that is somebody else's: so nobody removes it while the outcome is added to its history.
   * What is not moved is touched, for those who remove rows compare versions, and leave one that has changed under their snapshot to their next look.
   * So does this: where success deletes, one with a history that the statement cannot see is kept as `delivered` for the cleanup.
   */
  private lockedForOutcome(): string {
    const isOurs = `(d.state = 'leased' AND d.fence = w.fence)`;
    const isMoved = `(${isOurs} OR (w.new_state = 'delivered' AND d.state IN (${UNHELD})))`;
    const locked = `SELECT w.*, ${isOurs} AS is_ours, ${isMoved} AS is_moved`;
    if (!this.deletesDelivered)
      return `${locked}, false AS is_deleted FROM ${this.schema}.webhook_deliveries d JOIN wanted w ON d.id = w.id
          ORDER BY d.id FOR UPDATE OF d`;
    return `${locked}, ${isMoved} AND w.new_state = 'delivered' AND d.xmin = seen.xmin AS is_deleted
           FROM ${this.schema}.webhook_deliveries d JOIN wanted w ON d.id = w.id JOIN ${this.schema}.webhook_deliveries seen ON seen.id = d.id
          ORDER BY d.id FOR UPDATE OF d`;
  }

  /**
   * Deletes what was delivered. An event is locked after its deliveries, against the order of all others, so one that somebody has locked is
   * left to the cleanup, as is one of which another process settles the last delivery at this moment.
   */
  private deleted(): string {
    return `removed AS (
         DELETE FROM ${this.schema}.webhook_deliveries d USING locked l WHERE d.id = l.id AND l.is_deleted RETURNING d.id, d.event_id),
       forgotten AS (
         DELETE FROM ${this.schema}.webhook_attempts a USING removed WHERE a.delivery_id = removed.id),
       event AS MATERIALIZED (
         SELECT e.id FROM ${this.schema}.webhook_events e
          WHERE e.id IN (SELECT event_id FROM removed) AND ${isFannedOut('e', this.schema)} AND NOT EXISTS (
            SELECT FROM ${this.schema}.webhook_deliveries d WHERE d.event_id = e.id AND d.id NOT IN (SELECT id FROM removed))
          ORDER BY e.id FOR UPDATE SKIP LOCKED),
       over AS (
         DELETE FROM ${this.schema}.webhook_events e USING event WHERE e.id = event.id RETURNING e.id),
       ${handOffsOf('over', this.schema)},
       `;
  }

  /** What an attempt of `w` came to, as far as somebody has written it. */
  private loggedOf(w: string): string {
    return `SELECT FROM ${this.schema}.webhook_attempts a
             WHERE a.delivery_id = ${w}.id AND a.started_at = ${w}.began_at AND a.outcome <> 'unknown'`;
  }

  private lockedOf(wanted: string, more?: string): string {
    return `SELECT w.*${more === undefined ? '' : `, ${more}`} FROM ${this.schema}.webhook_deliveries d JOIN ${wanted} w ON d.id = w.id AND d.fence = w.fence
             WHERE d.state = 'leased' ORDER BY d.id FOR UPDATE OF d`;
  }
}

/** A lease begins with its statement, so one who counts from before it is never late. */
export function leaseUntil(parameter: string): string {
  return `statement_timestamp() + make_interval(secs => ${parameter}::float8 / 1000)`;
}

function columnsOf(claims: readonly Claim[]): [string[], string[]] {
  return [claims.map(({ id }) => id), claims.map(({ fence }) => fence)];
}
