import type { Clock, Queryable } from '@nest-baton/core';
import { type Claim, leaseUntil } from '../delivering/delivery-store.js';
import { isLimited } from '../limiting/token-bucket.js';
import { boundsIn } from './due-bounds.js';
import { type CircleLook, EndpointCircle, type Found, SLICE } from './endpoint-circle.js';
import { nextFence } from '../schema/next-fence.js';

export interface ClaimedDelivery extends Claim {
  readonly outboxId: string;
  readonly endpointId: string;
  readonly endpointVersion: number;
  readonly eventId: string;
  readonly type: string;
  readonly tenant: string;
  /** Requests before the one that the claim has counted. */
  readonly attempts: number;
  /** `null`: the event's row is gone. Let go of with its request, as outcomes may wait long to be written. */
  body: string | null;
  /** The `traceparent` of the call that sent the event. */
  readonly trace: string | null;
  /** By the database's clock, as its text: names the attempt in the history. */
  readonly startedAt: string;
  /** From the moment when it was due, by the database's clock. */
  readonly waitedMs: number;
  /** From when its claim looked at the endpoint until it had its lease, by the database's clock. */
  readonly lookedMs: number;
  readonly isSuspect: boolean;
  /** Its endpoint has failed lately, as the claim found it. */
  readonly isTroubled: boolean;
  /** In which it has its turn; `null`: its endpoint wants no order, or its event has no key. */
  readonly lineId: string | null;
  /** Of its endpoint's own, as the claim found it; `null`: the module's. */
  readonly maxInFlight: number | null;
}

/** Slots that this process has taken, of those that it may take. */
export interface SlotsTaken {
  readonly leaseMs: number;
  /** Of an endpoint that has no number of its own. */
  readonly maxInFlight: number;
  /** Deliveries that this process holds for an endpoint, which take slots. */
  readonly held: ReadonlyMap<string, number>;
}

export interface ClaimRequest extends SlotsTaken {
  readonly limit: number;
}

/** What a relay may claim. */
export interface Claims {
  /** At most the free slots of each endpoint; what others hold at this moment is skipped. */
  claim(request: ClaimRequest): Promise<readonly ClaimedDelivery[]>;
  /** One that was twice in the hands of a process that vanished. */
  claimSuspect(slots: SlotsTaken): Promise<ClaimedDelivery | undefined>;
  /** One for each endpoint whose breaker has been open for long enough. */
  claimProbes(request: ClaimRequest): Promise<readonly ClaimedDelivery[]>;
  /**
   * From when on, for each endpoint, something may be due that the next claim would find: by the database's clock, in microseconds since 1970; from the
   * beginning of time for an endpoint that is missing. Undefined: only a claim can tell.
   */
  dueBounds?(): ReadonlyMap<string, number> | undefined;
  /** Milliseconds until tokens come for something that is due, by the last claim; undefined: nothing waits for one. */
  readonly tokenInMs?: number | undefined;
  /** By the last claim: something is due that no process may start before an outcome is written. */
  readonly isSlotAwaited?: boolean;
}

/** As many as no endpoint has. */
export const ALL_SLOTS = 1_000_000;

interface Slice extends CircleLook<ClaimedDelivery & Found> {
  readonly hasLimited: boolean;
}

/** Lease losses after which a delivery is suspected of crashing its process, and is claimed alone. */
export const SUSPECT_AFTER = 2;

/** Of the rows of `leaseOf`, called `c`, and their events, called `e`, of which none may be there. */
export const CLAIM_COLUMNS = `c.id, c.fence, c.event_id AS "outboxId", c.endpoint_id AS "endpointId", c.version AS "endpointVersion", c.attempts,
              greatest(extract(epoch FROM statement_timestamp() - c.next_at) * 1000, 0)::float8 AS "waitedMs",
              (extract(epoch FROM clock_timestamp() - statement_timestamp()) * 1000)::float8 AS "lookedMs",
              c.lease_losses >= ${SUSPECT_AFTER} AS "isSuspect", c.is_troubled AS "isTroubled", c.max_in_flight AS "maxInFlight",
              c.started_at::text AS "startedAt", c.line_id AS "lineId", e.body, e.trace,
              coalesce(e.dedupe_key, '') AS "eventId", coalesce(e.type, '') AS type, coalesce(e.tenant, '') AS tenant`;

const NEXT_FENCE = nextFence('d');

/** The statements that claim. Each takes a lease on rows that it has locked itself; every comparison of times is by the database's clock. */
export class ClaimStore implements Claims {
  /** By the last claim: there are endpoints with a limit that all processes share, which are left to others. */
  hasLimited = false;
  private readonly circle: EndpointCircle;

  constructor(
    private readonly on: Queryable,
    private readonly schema: string,
    onFoundLate?: (count: number) => void,
    clock?: Clock,
  ) {
    this.circle = new EndpointCircle(onFoundLate, clock);
  }

  /**
   * Claims due deliveries of endpoints with free slots, at most the free slots of each; skips what other claimers hold at this moment. Goes round
   * the circle of endpoints in slices, from where the last call ended, until it has enough or has been everywhere: a statement for each 1 000
   * active endpoints.
   */
  async claim(request: ClaimRequest): Promise<readonly ClaimedDelivery[]> {
    return this.circle.walk(request.limit, (limit, after, bounds) =>
      this.claimSlice({ ...request, limit }, after, bounds),
    );
  }

  dueBounds(): ReadonlyMap<string, number> | undefined {
    return this.circle.dueBounds();
  }

  /** Rows of endpoints without a free slot, with an open breaker or that are paused are never walked. Suspects are left to `claimSuspect`. */
  private async claimSlice(
    { held, maxInFlight, limit, leaseMs }: ClaimRequest,
    after: string,
    bounds: ReadonlyMap<string, number>,
  ): Promise<Slice> {
    const { rows } = await this.on.query<Slice['claims'][number] & Slice>(
      `WITH held AS (SELECT * FROM unnest($1::uuid[], $2::int[]) AS h(endpoint_id, n)),
       ${boundsIn('$7', '$8')},
       slice AS MATERIALIZED (
         SELECT u.*, row_number() OVER () AS nth FROM (
           (SELECT e.id, e.version, e.max_in_flight FROM ${this.schema}.webhook_endpoints e
             WHERE e.state = 'active' AND NOT ${isLimited('e')} AND e.id > $4::uuid ORDER BY e.id LIMIT ${SLICE})
            UNION ALL
           (SELECT e.id, e.version, e.max_in_flight FROM ${this.schema}.webhook_endpoints e
             WHERE e.state = 'active' AND NOT ${isLimited('e')} AND e.id <= $4::uuid ORDER BY e.id LIMIT ${SLICE})
            LIMIT ${SLICE}) u
       ), slot AS (
         SELECT e.id, e.version, e.max_in_flight, coalesce(e.max_in_flight, $3::int) - coalesce(h.n, 0) AS free, s.failing_since IS NOT NULL AS is_troubled,
                coalesce(b.at, '-infinity') AS bound
           FROM slice e LEFT JOIN held h ON h.endpoint_id = e.id LEFT JOIN bound b ON b.endpoint_id = e.id
           LEFT JOIN ${this.schema}.webhook_endpoint_states s ON s.endpoint_id = e.id
          WHERE s.breaker IS DISTINCT FROM 'open' AND ${isUnpaused('s')}
          ORDER BY e.nth
       ), due AS MATERIALIZED (
         SELECT d.id, slot.version, slot.is_troubled, slot.max_in_flight
           FROM (SELECT * FROM slot WHERE free > 0) slot
          CROSS JOIN LATERAL (
            SELECT r.id FROM ${this.schema}.webhook_deliveries r
             WHERE r.endpoint_id = slot.id AND r.state = 'ready' AND r.next_at <= statement_timestamp() AND r.next_at >= slot.bound
               AND r.lease_losses < ${SUSPECT_AFTER}
             ORDER BY r.next_at, r.id LIMIT slot.free FOR UPDATE SKIP LOCKED) d
          LIMIT $5
       ), c AS (${this.leaseOf('due')})
       SELECT k.*, claimed.* FROM (SELECT count(*)::int AS seen, (array_agg(id ORDER BY nth DESC))[1] AS edge,
                      EXISTS (SELECT FROM ${this.schema}.webhook_endpoints e WHERE ${isLimited('e')}) AS "hasLimited" FROM slice) k
         LEFT JOIN (SELECT ${CLAIM_COLUMNS}, (extract(epoch FROM c.next_at) * 1000000)::bigint AS "dueAtUs"
                      FROM c LEFT JOIN ${this.schema}.webhook_events e ON e.id = c.event_id) claimed ON true`,
      [
        [...held.keys()],
        [...held.values()],
        maxInFlight,
        after,
        limit,
        leaseMs,
        [...bounds.keys()],
        [...bounds.values()],
      ],
    );
    const [first] = rows;
    this.hasLimited = first?.hasLimited === true;
    return {
      claims: rows.filter(({ id }) => id !== null),
      seen: first?.seen ?? 0,
      edge: first?.edge ?? null,
      hasLimited: this.hasLimited,
    };
  }

  /** Claims one due delivery that was twice in the hands of a process that vanished. */
  async claimSuspect({ leaseMs, maxInFlight, held }: SlotsTaken): Promise<ClaimedDelivery | undefined> {
    const { rows } = await this.on.query<ClaimedDelivery>(
      `WITH busy AS (SELECT * FROM unnest($1::uuid[], $3::int[]) AS h(endpoint_id, n)),
       due AS (
         SELECT r.id, e.version, e.max_in_flight, s.failing_since IS NOT NULL AS is_troubled FROM ${this.schema}.webhook_deliveries r
           JOIN ${this.schema}.webhook_endpoints e ON e.id = r.endpoint_id AND e.state = 'active'
           LEFT JOIN ${this.schema}.webhook_endpoint_states s ON s.endpoint_id = r.endpoint_id
          WHERE r.state = 'ready' AND r.lease_losses >= ${SUSPECT_AFTER} AND r.next_at <= statement_timestamp()
            AND NOT ${isLimited('e')} AND ${hasSlot('e', '$4')} AND ${isUnpaused('s')}
            AND (s.breaker IS DISTINCT FROM 'open' OR s.open_until <= statement_timestamp())
          ORDER BY r.next_at LIMIT 1 FOR UPDATE OF r SKIP LOCKED
       ), c AS (${this.leaseOf('due', '$2')})
       SELECT ${CLAIM_COLUMNS} FROM c LEFT JOIN ${this.schema}.webhook_events e ON e.id = c.event_id`,
      [[...held.keys()], leaseMs, [...held.values()], maxInFlight],
    );
    return rows[0];
  }

  /**
   * Claims one due delivery for each endpoint whose breaker has been open for long enough: the probes.
   *
   * Race: two processes that want to probe one endpoint. The update of its state is conditional on no other probe's lease, and whoever is
   * second skips the row that is locked or finds it changed. Locks states, in order of id, before deliveries.
   */
  async claimProbes({ limit, leaseMs, maxInFlight, held }: ClaimRequest): Promise<readonly ClaimedDelivery[]> {
    const { rows } = await this.on.query<ClaimedDelivery>(
      `WITH busy AS (SELECT * FROM unnest($3::uuid[], $4::int[]) AS h(endpoint_id, n)),
       probe AS (
         UPDATE ${this.schema}.webhook_endpoint_states s SET probe_until = ${leaseUntil('$2')}
           FROM (SELECT s.endpoint_id FROM ${this.schema}.webhook_endpoint_states s
                   JOIN ${this.schema}.webhook_endpoints e ON e.id = s.endpoint_id
                  WHERE ${isProbeDue('s', this.schema)} AND NOT ${isLimited('e')} AND ${hasSlot('e', '$5')}
                  ORDER BY s.endpoint_id LIMIT $1 FOR UPDATE OF s SKIP LOCKED) p
          WHERE s.endpoint_id = p.endpoint_id RETURNING s.endpoint_id
       ), due AS MATERIALIZED (
         SELECT d.id, e.version, e.max_in_flight, true AS is_troubled
           FROM probe JOIN ${this.schema}.webhook_endpoints e ON e.id = probe.endpoint_id
          CROSS JOIN LATERAL (
            SELECT r.id FROM ${this.schema}.webhook_deliveries r
             WHERE r.endpoint_id = e.id AND r.state = 'ready' AND r.next_at <= statement_timestamp()
               AND r.lease_losses < ${SUSPECT_AFTER}
             ORDER BY r.next_at, r.id LIMIT 1 FOR UPDATE SKIP LOCKED) d
       ), c AS (${this.leaseOf('due', '$2')})
       SELECT ${CLAIM_COLUMNS} FROM c LEFT JOIN ${this.schema}.webhook_events e ON e.id = c.event_id`,
      [limit, leaseMs, [...held.keys()], [...held.values()], maxInFlight],
    );
    return rows;
  }

  protected leaseOf(due: string, leaseMs = '$6'): string {
    return leaseOf(this.schema, due, leaseMs);
  }
}

/**
 * Rows are locked by the CTE of the caller; the lease begins with the statement, so a claimer who counts from before it is never late.
 *
 * Counts the request too, which whoever claimed starts at once or undoes by its release: a statement of its own would write each row once more. A
 * process that dies in between leaves the same as one that dies with its request on the wire: an attempt of which nobody knows the outcome.
 */
export function leaseOf(schema: string, due: string, leaseMs: string): string {
  return `UPDATE ${schema}.webhook_deliveries d
          SET state = 'leased', fence = ${NEXT_FENCE}, lease_until = ${leaseUntil(leaseMs)},
              attempts = d.attempts + 1, last_outcome = 'unknown', started_at = clock_timestamp()
         FROM ${due} WHERE d.id = ${due}.id
    RETURNING d.id, d.fence, d.event_id, d.endpoint_id, d.attempts - 1 AS attempts, d.started_at, d.lease_losses, d.next_at, d.line_id, ${due}.version, ${due}.is_troubled,
              ${due}.max_in_flight`;
}

/** This process holds, by the CTE `busy`, fewer deliveries of the endpoint than it may. */
export function hasSlot(endpoint: string, maxInFlight: string): string {
  return `NOT EXISTS (SELECT FROM busy h WHERE h.endpoint_id = ${endpoint}.id AND h.n >= coalesce(${endpoint}.max_in_flight, ${maxInFlight}::int))`;
}

export function isUnpaused(state: string): string {
  return `(${state}.paused_until IS NULL OR ${state}.paused_until <= statement_timestamp())`;
}

/** The breaker has been open for long enough, nobody probes, and there is something to probe with. */
export function isProbeDue(state: string, schema: string): string {
  return `${state}.breaker = 'open' AND ${state}.open_until <= statement_timestamp() AND ${isUnpaused(state)}
      AND (${state}.probe_until IS NULL OR ${state}.probe_until <= statement_timestamp())
      AND EXISTS (SELECT FROM ${schema}.webhook_endpoints e WHERE e.id = ${state}.endpoint_id AND e.state = 'active')
      AND EXISTS (SELECT FROM ${schema}.webhook_deliveries r WHERE r.endpoint_id = ${state}.endpoint_id AND r.state = 'ready'
                     AND r.next_at <= statement_timestamp() AND r.lease_losses < ${SUSPECT_AFTER})`;
}
