import type { Queryable } from '@nest-baton/core';
import type { AttemptOutcome, DeliveryReason, DeliveryState } from './delivery.js';
import type { Settlement } from '../outcomes/outcome.js';

/** A row that this process may write until its lease ends. `fence` is a bigint, as text. */
export interface Claim {
  readonly id: string;
  readonly fence: string;
}

export interface ClaimedDelivery extends Claim {
  readonly outboxId: string;
  readonly endpointId: string;
  readonly endpointVersion: number;
  readonly eventId: string;
  readonly type: string;
  readonly tenant: string;
  readonly attempts: number;
  /** From the moment when it was due, by the database's clock. */
  readonly waitedMs: number;
  readonly isSuspect: boolean;
}

export interface ClaimRequest {
  readonly limit: number;
  readonly leaseMs: number;
  readonly maxInFlight: number;
  /** Deliveries that this process holds for an endpoint, which take slots. */
  readonly held: ReadonlyMap<string, number>;
  /** Where in the circle of endpoints to begin. */
  readonly after: string;
}

export interface StartedDelivery {
  readonly id: string;
  /** `null`: the event's row is gone. */
  readonly body: string | null;
}

export interface SettledClaim extends Claim {
  readonly settlement: Settlement;
}

/** Lease losses after which a delivery is suspected of crashing its process, and is claimed alone. */
const SUSPECT_AFTER = 2;

const COLUMNS = `c.id, c.fence, c.event_id AS "outboxId", c.endpoint_id AS "endpointId", c.version AS "endpointVersion", c.attempts,
              greatest(extract(epoch FROM statement_timestamp() - c.next_at) * 1000, 0)::float8 AS "waitedMs",
              c.lease_losses >= ${SUSPECT_AFTER} AS "isSuspect", e.dedupe_key AS "eventId", e.type, e.tenant`;

/** Grows also over a restored backup, whose counters are behind those that a living process holds. */
const NEXT_FENCE = `greatest(d.fence + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)`;

const FENCED = `unnest($1::bigint[], $2::bigint[]) AS w(id, fence)`;

/** The statements of claim, start, renewal and release. Every comparison of times is by the database's clock. */
export class DeliveryStore {
  constructor(
    private readonly on: Queryable,
    private readonly schema: string,
  ) {}

  /**
   * Claims due deliveries of endpoints with free slots, at most the free slots of each, beginning behind `after`; skips what other claimers
   * hold at this moment. Rows of endpoints without a free slot are never walked. Suspects are left to `claimSuspect`.
   */
  async claim(request: ClaimRequest): Promise<readonly ClaimedDelivery[]> {
    const { rows } = await this.on.query<ClaimedDelivery>(
      `WITH held AS (SELECT * FROM unnest($1::uuid[], $2::int[]) AS h(endpoint_id, n)),
       slot AS (
         SELECT e.id, e.version, $3::int - coalesce(h.n, 0) AS free
           FROM ${this.schema}.webhook_endpoints e LEFT JOIN held h ON h.endpoint_id = e.id
          WHERE e.state = 'active'
          ORDER BY (e.id > $4::uuid) DESC, e.id
       ), due AS MATERIALIZED (
         SELECT d.id, slot.version
           FROM (SELECT * FROM slot WHERE free > 0) slot
          CROSS JOIN LATERAL (
            SELECT r.id FROM ${this.schema}.webhook_deliveries r
             WHERE r.endpoint_id = slot.id AND r.state = 'ready' AND r.next_at <= statement_timestamp()
               AND r.lease_losses < ${SUSPECT_AFTER}
             ORDER BY r.next_at, r.id LIMIT slot.free FOR UPDATE SKIP LOCKED) d
          LIMIT $5
       ), c AS (${this.leaseOf('due')})
       SELECT ${COLUMNS} FROM c JOIN ${this.schema}.webhook_events e ON e.id = c.event_id`,
      [
        [...request.held.keys()],
        [...request.held.values()],
        request.maxInFlight,
        request.after,
        request.limit,
        request.leaseMs,
      ],
    );
    return rows;
  }

  /** Claims one due delivery that was twice in the hands of a process that vanished; `excluded` endpoints have no free slot. */
  async claimSuspect(leaseMs: number, excluded: readonly string[]): Promise<ClaimedDelivery | undefined> {
    const { rows } = await this.on.query<ClaimedDelivery>(
      `WITH due AS (
         SELECT r.id, e.version FROM ${this.schema}.webhook_deliveries r
           JOIN ${this.schema}.webhook_endpoints e ON e.id = r.endpoint_id AND e.state = 'active'
          WHERE r.state = 'ready' AND r.lease_losses >= ${SUSPECT_AFTER} AND r.next_at <= statement_timestamp()
            AND r.endpoint_id <> ALL ($1::uuid[])
          ORDER BY r.next_at LIMIT 1 FOR UPDATE OF r SKIP LOCKED
       ), c AS (${this.leaseOf('due', '$2')})
       SELECT ${COLUMNS} FROM c JOIN ${this.schema}.webhook_events e ON e.id = c.event_id`,
      [excluded, leaseMs],
    );
    return rows[0];
  }

  /**
   * Counts a request for each, before it is sent, renews the lease, and brings the body. The count is written as a number and not raised,
   * so that a repetition after a lost connection counts once. What is not in the answer is not ours any more.
   */
  async start(claims: readonly ClaimedDelivery[], leaseMs: number): Promise<readonly StartedDelivery[]> {
    const { rows } = await this.on.query<StartedDelivery>(
      `WITH wanted AS (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::int[]) AS w(id, fence, attempts)),
       locked AS (${this.lockedOf('wanted')}),
       started AS (
         UPDATE ${this.schema}.webhook_deliveries d
            SET attempts = l.attempts + 1, last_outcome = 'unknown', lease_until = ${leaseUntil('$4')}
           FROM locked l WHERE d.id = l.id RETURNING d.id, d.event_id)
       SELECT s.id, e.body FROM started s LEFT JOIN ${this.schema}.webhook_events e ON e.id = s.event_id`,
      [...columnsOf(claims), claims.map(({ attempts }) => attempts), leaseMs],
    );
    return rows;
  }

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

  /** Hands back, due as before; `attempts` is what it shall be, so a start that sent nothing is undone. No loss is counted. */
  async release(claims: readonly (Claim & { readonly attempts: number })[]): Promise<number> {
    const { rowCount } = await this.on.query(
      `WITH wanted AS (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::int[]) AS w(id, fence, attempts)),
       locked AS (${this.lockedOf('wanted')})
       UPDATE ${this.schema}.webhook_deliveries d SET state = 'ready', lease_until = NULL, attempts = l.attempts
         FROM locked l WHERE d.id = l.id RETURNING d.id`,
      [...columnsOf(claims), claims.map(({ attempts }) => attempts)],
    );
    return rowCount;
  }

  /**
   * Writes outcomes; returns the ids that were written. A row counts as written too when an earlier try of ours did it and only its answer
   * was lost: same fence, same state, and no loss counted since.
   */
  async settle(settled: readonly SettledClaim[]): Promise<ReadonlySet<string>> {
    const of = <T>(read: (settlement: Settlement) => T): T[] => settled.map(({ settlement }) => read(settlement));
    const { rows } = await this.on.query<{ id: string }>(
      `WITH wanted AS (
         SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::float8[], $5::text[], $6::text[], $7::int[], $8::text[])
                AS w(id, fence, new_state, retry_in_ms, outcome, new_reason, status, error)),
       locked AS (${this.lockedOf('wanted')}),
       written AS (
         UPDATE ${this.schema}.webhook_deliveries d
            SET state = l.new_state, lease_until = NULL, lease_losses = 0,
                next_at = CASE l.new_state WHEN 'ready'
                          THEN clock_timestamp() + make_interval(secs => l.retry_in_ms / 1000) ELSE d.next_at END,
                settled_at = CASE l.new_state WHEN 'ready' THEN NULL ELSE clock_timestamp() END,
                last_outcome = l.outcome, reason = l.new_reason, last_status = l.status, last_error = l.error
           FROM locked l WHERE d.id = l.id RETURNING d.id)
       SELECT id FROM written
        UNION
       SELECT d.id FROM ${this.schema}.webhook_deliveries d JOIN wanted w ON d.id = w.id AND d.fence = w.fence
        WHERE d.state = w.new_state AND d.lease_losses = 0`,
      [
        ...columnsOf(settled),
        of(({ state }): DeliveryState => state),
        of(({ retryInMs }) => retryInMs),
        of(({ outcome }): AttemptOutcome => outcome),
        of(({ reason }): DeliveryReason => reason),
        of(({ status }) => status),
        of(({ error }) => error),
      ],
    );
    return new Set(rows.map(({ id }) => id));
  }

  /** Rows are locked by the CTE of the caller; the lease begins with the statement, so a claimer who counts from before it is never late. */
  private leaseOf(due: string, leaseMs = '$6'): string {
    return `UPDATE ${this.schema}.webhook_deliveries d
          SET state = 'leased', fence = ${NEXT_FENCE}, lease_until = ${leaseUntil(leaseMs)}
         FROM ${due} WHERE d.id = ${due}.id
    RETURNING d.id, d.fence, d.event_id, d.endpoint_id, d.attempts, d.lease_losses, d.next_at, ${due}.version`;
  }

  private lockedOf(wanted: string): string {
    return `SELECT w.* FROM ${this.schema}.webhook_deliveries d JOIN ${wanted} w ON d.id = w.id AND d.fence = w.fence
             WHERE d.state = 'leased' ORDER BY d.id FOR UPDATE OF d`;
  }
}

function leaseUntil(parameter: string): string {
  return `statement_timestamp() + make_interval(secs => ${parameter}::float8 / 1000)`;
}

function columnsOf(claims: readonly Claim[]): [string[], string[]] {
  return [claims.map(({ id }) => id), claims.map(({ fence }) => fence)];
}
