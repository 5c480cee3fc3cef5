import type { Queryable } from '@nest-baton/core';
import {
  type ClaimedDelivery,
  type ClaimRequest,
  CLAIM_COLUMNS,
  ClaimStore,
  hasSlot,
  type SlotsTaken,
  SUSPECT_AFTER,
} from '../claiming/claim-store.js';
import type { LimitedLooks } from '../claiming/claims-by-limit.js';
import {
  type ClaimKind,
  isOfKind,
  LIMITED_COLUMNS,
  LimitedClaims,
  type LimitedRows,
} from '../limiting/limited-claims.js';
import { isLimited } from '../limiting/token-bucket.js';
import { IS_ELIGIBLE, later } from '../sweeping/sweep-conditions.js';

/** Events of one claim. */
const MAX_WANTED = 500;

/**
 * Claims of a relay that sends nothing on its own: only deliveries of events that somebody has called `deliver` for, and only while that call
 * waits. Without such a call it asks the database nothing.
 */
export class WantedClaims extends ClaimStore {
  private readonly wanted = new Map<string, number>();

  constructor(
    private readonly database: Queryable,
    private readonly tables: string,
  ) {
    super(database, tables);
  }

  /** From now until the function that it returns is called. */
  want(outboxId: string): () => void {
    this.wanted.set(outboxId, (this.wanted.get(outboxId) ?? 0) + 1);
    return () => {
      const left = (this.wanted.get(outboxId) ?? 1) - 1;
      if (left > 0) this.wanted.set(outboxId, left);
      else this.wanted.delete(outboxId);
    };
  }

  /**
   * Due deliveries of wanted events, at most the free slots of each endpoint; what others hold at this moment is skipped. By way of the events,
   * so that the backlog of an endpoint does not matter.
   */
  override async claim({ limit, leaseMs, maxInFlight, held }: ClaimRequest): Promise<readonly ClaimedDelivery[]> {
    const events = this.turn();
    if (events.length === 0) return [];
    const { rows } = await this.database.query<ClaimedDelivery & { readonly hasLimited: boolean }>(
      `WITH held AS (SELECT * FROM unnest($1::uuid[], $2::int[]) AS h(endpoint_id, n)),
       candidate AS MATERIALIZED (
         SELECT r.id, e.version, e.max_in_flight, s.failing_since IS NOT NULL AS is_troubled,
                coalesce(e.max_in_flight, $3::int) - coalesce(h.n, 0) AS free,
                row_number() OVER (PARTITION BY r.endpoint_id ORDER BY r.next_at, r.id) AS nth
           FROM ${this.tables}.webhook_deliveries r
           JOIN ${this.tables}.webhook_endpoints e ON e.id = r.endpoint_id
           LEFT JOIN ${this.tables}.webhook_endpoint_states s ON s.endpoint_id = r.endpoint_id
           LEFT JOIN held h ON h.endpoint_id = r.endpoint_id
          WHERE r.event_id = ANY ($4::uuid[]) AND r.state = 'ready' AND r.next_at <= statement_timestamp()
            AND r.lease_losses < ${SUSPECT_AFTER} AND ${IS_ELIGIBLE} AND s.breaker IS DISTINCT FROM 'open'
            AND NOT ${isLimited('e')}
       ), due AS MATERIALIZED (
         SELECT r.id, c.version, c.is_troubled, c.max_in_flight FROM candidate c JOIN ${this.tables}.webhook_deliveries r ON r.id = c.id
          WHERE c.nth <= c.free AND r.state = 'ready' ORDER BY r.id LIMIT $5 FOR UPDATE OF r SKIP LOCKED
       ), c AS (${this.leaseOf('due')})
       SELECT k.*, claimed.* FROM (SELECT EXISTS (SELECT FROM ${this.tables}.webhook_endpoints e WHERE ${isLimited('e')}) AS "hasLimited") k
         LEFT JOIN (SELECT ${CLAIM_COLUMNS} FROM c LEFT JOIN ${this.tables}.webhook_events e ON e.id = c.event_id) claimed ON true`,
      [[...held.keys()], [...held.values()], maxInFlight, events, limit, leaseMs],
    );
    this.hasLimited = rows[0]?.hasLimited === true;
    return rows.filter(({ id }) => id !== null);
  }

  override async claimSuspect({ leaseMs, maxInFlight, held }: SlotsTaken): Promise<ClaimedDelivery | undefined> {
    if (this.wanted.size === 0) return undefined;
    const { rows } = await this.database.query<ClaimedDelivery>(
      `WITH busy AS (SELECT * FROM unnest($1::uuid[], $4::int[]) AS h(endpoint_id, n)),
       due AS (
         SELECT r.id, e.version, e.max_in_flight, s.failing_since IS NOT NULL AS is_troubled FROM ${this.tables}.webhook_deliveries r
           JOIN ${this.tables}.webhook_endpoints e ON e.id = r.endpoint_id
           LEFT JOIN ${this.tables}.webhook_endpoint_states s ON s.endpoint_id = r.endpoint_id
          WHERE r.event_id = ANY ($3::uuid[]) AND r.state = 'ready' AND r.lease_losses >= ${SUSPECT_AFTER}
            AND r.next_at <= statement_timestamp() AND ${hasSlot('e', '$5')} AND ${IS_ELIGIBLE} AND NOT ${isLimited('e')}
          ORDER BY r.next_at LIMIT 1 FOR UPDATE OF r SKIP LOCKED
       ), c AS (${this.leaseOf('due', '$2')})
       SELECT ${CLAIM_COLUMNS} FROM c LEFT JOIN ${this.tables}.webhook_events e ON e.id = c.event_id`,
      [[...held.keys()], leaseMs, this.turn(), [...held.values()], maxInFlight],
    );
    return rows[0];
  }

  /** As of a relay, with deliveries of wanted events only: the update of the endpoint's state is conditional on no other probe's lease. */
  override async claimProbes({ limit, leaseMs, maxInFlight, held }: ClaimRequest): Promise<readonly ClaimedDelivery[]> {
    if (this.wanted.size === 0) return [];
    const { rows } = await this.database.query<ClaimedDelivery>(
      `WITH busy AS (SELECT * FROM unnest($3::uuid[], $5::int[]) AS h(endpoint_id, n)),
       candidate AS MATERIALIZED (
         SELECT DISTINCT ON (r.endpoint_id) r.id, r.endpoint_id, e.version, e.max_in_flight FROM ${this.tables}.webhook_deliveries r
           JOIN ${this.tables}.webhook_endpoints e ON e.id = r.endpoint_id
           JOIN ${this.tables}.webhook_endpoint_states s ON s.endpoint_id = r.endpoint_id AND s.breaker = 'open'
          WHERE r.event_id = ANY ($4::uuid[]) AND r.state = 'ready' AND r.next_at <= statement_timestamp()
            AND r.lease_losses < ${SUSPECT_AFTER} AND ${hasSlot('e', '$6')} AND ${IS_ELIGIBLE} AND NOT ${isLimited('e')}
          ORDER BY r.endpoint_id, r.next_at, r.id
       ), probe AS (
         UPDATE ${this.tables}.webhook_endpoint_states s SET probe_until = ${later('$2')}
           FROM (SELECT s.endpoint_id FROM ${this.tables}.webhook_endpoint_states s JOIN candidate USING (endpoint_id)
                  WHERE s.breaker = 'open' AND (s.probe_until IS NULL OR s.probe_until <= statement_timestamp())
                  ORDER BY s.endpoint_id LIMIT $1 FOR UPDATE OF s SKIP LOCKED) p
          WHERE s.endpoint_id = p.endpoint_id RETURNING s.endpoint_id
       ), due AS MATERIALIZED (
         SELECT r.id, candidate.version, candidate.max_in_flight, true AS is_troubled
           FROM probe JOIN candidate USING (endpoint_id) JOIN ${this.tables}.webhook_deliveries r ON r.id = candidate.id
          WHERE r.state = 'ready' FOR UPDATE OF r SKIP LOCKED
       ), c AS (${this.leaseOf('due', '$2')})
       SELECT ${CLAIM_COLUMNS} FROM c LEFT JOIN ${this.tables}.webhook_events e ON e.id = c.event_id`,
      [limit, leaseMs, [...held.keys()], this.turn(), [...held.values()], maxInFlight],
    );
    return rows;
  }

  /** Of more events than one statement takes, others each time. */
  turn(): readonly string[] {
    const events = [...this.wanted].slice(0, MAX_WANTED);
    for (const [outboxId, callers] of events) {
      this.wanted.delete(outboxId);
      this.wanted.set(outboxId, callers);
    }
    return events.map(([outboxId]) => outboxId);
  }
}

/** What is due of wanted events for limited endpoints. */
export class LimitedWanted implements LimitedLooks {
  /** Nobody waits for tokens: `deliver` says when the next one comes. */
  readonly tokenInMs = undefined;
  isSlotAwaited = false;
  private readonly claims: LimitedClaims;

  constructor(
    on: Queryable,
    private readonly tables: string,
    private readonly wanted: WantedClaims,
  ) {
    this.claims = new LimitedClaims(on, tables);
  }

  claim(request: ClaimRequest): Promise<readonly ClaimedDelivery[]> {
    return this.look('due', request);
  }

  async claimSuspect(slots: SlotsTaken): Promise<ClaimedDelivery | undefined> {
    return (await this.look('suspect', { ...slots, limit: 1 }))[0];
  }

  claimProbes(request: ClaimRequest): Promise<readonly ClaimedDelivery[]> {
    return this.look('probe', request);
  }

  private async look(kind: ClaimKind, request: ClaimRequest): Promise<readonly ClaimedDelivery[]> {
    const events = this.wanted.turn();
    this.isSlotAwaited = false;
    if (events.length === 0) return [];
    const { claims, isSlotAwaited } = await this.claims.claim(kind, request, this.rows(kind, events));
    this.isSlotAwaited = isSlotAwaited;
    return claims;
  }

  private rows(kind: ClaimKind, events: readonly string[]): LimitedRows {
    const { tables } = this;
    return {
      ctes: `wanted AS MATERIALIZED (
         SELECT r.id, r.endpoint_id FROM ${tables}.webhook_deliveries r WHERE r.event_id = ANY ($6::uuid[]) AND ${isOfKind(kind)}),`,
      endpoints: `SELECT ${LIMITED_COLUMNS} FROM ${tables}.webhook_endpoints e
                   WHERE e.state = 'active' AND ${isLimited('e')} AND e.id IN (SELECT w.endpoint_id FROM wanted w) ORDER BY e.id`,
      rows: (endpoint) =>
        `FROM wanted w JOIN ${tables}.webhook_deliveries r ON r.id = w.id WHERE w.endpoint_id = ${endpoint}.id AND ${isOfKind(kind)}`,
      values: [events],
    };
  }
}
