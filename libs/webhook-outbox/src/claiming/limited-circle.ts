import type { Clock, Queryable } from '@nest-baton/core';
import {
  type ClaimKind,
  isOfKind,
  LIMITED_COLUMNS,
  LimitedClaims,
  type LimitedLook,
  type LimitedRows,
} from '../limiting/limited-claims.js';
import { isLimited } from '../limiting/token-bucket.js';
import type { ClaimedDelivery, ClaimRequest, SlotsTaken } from './claim-store.js';
import type { LimitedLooks } from './claims-by-limit.js';
import { boundsIn } from './due-bounds.js';
import { EndpointCircle, SLICE } from './endpoint-circle.js';

/** What is due of all limited endpoints, in slices of their circle. */
export class LimitedCircle implements LimitedLooks {
  tokenInMs: number | undefined;
  isSlotAwaited = false;
  private readonly claims: LimitedClaims;
  private readonly circle: EndpointCircle;

  constructor(
    on: Queryable,
    private readonly schema: string,
    onFoundLate?: (count: number) => void,
    clock?: Clock,
  ) {
    this.claims = new LimitedClaims(on, schema);
    this.circle = new EndpointCircle(onFoundLate, clock);
  }

  /** As `ClaimStore.claim`: until it has enough or has been everywhere. */
  async claim(request: ClaimRequest): Promise<readonly ClaimedDelivery[]> {
    this.tokenInMs = undefined;
    this.isSlotAwaited = false;
    return this.circle.walk(request.limit, async (limit, after, bounds) => {
      const look = await this.claims.claim('due', { ...request, limit }, this.slice(after, bounds));
      this.note(look);
      return look;
    });
  }

  async claimSuspect(slots: SlotsTaken): Promise<ClaimedDelivery | undefined> {
    const suspects = `e.id IN (SELECT r.endpoint_id FROM ${this.schema}.webhook_deliveries r WHERE ${isOfKind('suspect')})`;
    const { claims } = await this.claims.claim('suspect', { ...slots, limit: 1 }, this.where('suspect', suspects));
    return claims[0];
  }

  async claimProbes(request: ClaimRequest): Promise<readonly ClaimedDelivery[]> {
    const open = `e.id IN (SELECT o.endpoint_id FROM ${this.schema}.webhook_endpoint_states o
                            WHERE o.breaker = 'open' AND o.open_until <= statement_timestamp())`;
    return (await this.claims.claim('probe', request, this.where('probe', open))).claims;
  }

  dueBounds(): ReadonlyMap<string, number> | undefined {
    return this.circle.dueBounds();
  }

  private note({ tokenInMs, isSlotAwaited }: LimitedLook): void {
    if (tokenInMs !== null) this.tokenInMs = Math.min(this.tokenInMs ?? Infinity, tokenInMs);
    this.isSlotAwaited ||= isSlotAwaited;
  }

  private slice(after: string, bounds: ReadonlyMap<string, number>): LimitedRows {
    const half = (condition: string): string =>
      `SELECT ${LIMITED_COLUMNS}, coalesce(b.at, '-infinity') AS bound FROM ${this.schema}.webhook_endpoints e
         LEFT JOIN bound b ON b.endpoint_id = e.id
        WHERE e.state = 'active' AND ${isLimited('e')} AND ${condition} ORDER BY e.id LIMIT ${SLICE}`;
    return {
      ctes: `${boundsIn('$7', '$8')},`,
      endpoints: `(${half('e.id > $6::uuid')}) UNION ALL (${half('e.id <= $6::uuid')}) LIMIT ${SLICE}`,
      rows: (endpoint) =>
        `FROM ${this.schema}.webhook_deliveries r WHERE r.endpoint_id = ${endpoint}.id AND r.next_at >= ${endpoint}.bound AND ${isOfKind('due')}`,
      values: [after, [...bounds.keys()], [...bounds.values()]],
    };
  }

  private where(kind: ClaimKind, condition: string): LimitedRows {
    return {
      ctes: '',
      endpoints: `SELECT ${LIMITED_COLUMNS} FROM ${this.schema}.webhook_endpoints e
                   WHERE e.state = 'active' AND ${isLimited('e')} AND ${condition} ORDER BY e.id LIMIT ${SLICE}`,
      rows: (endpoint) =>
        `FROM ${this.schema}.webhook_deliveries r WHERE r.endpoint_id = ${endpoint}.id AND ${isOfKind(kind)}`,
      values: [],
    };
  }
}
