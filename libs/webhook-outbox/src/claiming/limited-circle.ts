import { type Clock, type Queryable, systemClock } from '@nest-baton/core';
import {
  type ClaimKind,
  isOfKind,
  LIMITED_COLUMNS,
  LimitedClaims,
  type LimitedLook,
  type LimitedRows,
} from '../limiting/limited-claims.js';
import { isLimited } from '../limiting/token-bucket.js';
import { type ClaimedDelivery, type ClaimRequest, LOWEST_ID, type SlotsTaken } from './claim-store.js';
import type { LimitedLooks } from './claims-by-limit.js';
import { boundsIn, DueBounds } from './due-bounds.js';
import { reachedLast } from './reached-last.js';

/** Endpoints that one statement looks at. */
const SLICE = 1_000;

/** What is due of all limited endpoints, in slices of their circle. */
export class LimitedCircle implements LimitedLooks {
  tokenInMs: number | undefined;
  isSlotAwaited = false;
  private readonly claims: LimitedClaims;
  private readonly bounds: DueBounds;
  /** The circle of endpoints goes on behind this one. */
  private after = LOWEST_ID;

  constructor(
    on: Queryable,
    private readonly schema: string,
    private readonly onFoundLate: (count: number) => void = () => undefined,
    clock: Clock = systemClock,
  ) {
    this.claims = new LimitedClaims(on, schema);
    this.bounds = new DueBounds(clock);
  }

  /** As `ClaimStore.claim`: until it has enough or has been everywhere. */
  async claim(request: ClaimRequest): Promise<readonly ClaimedDelivery[]> {
    const bounds = this.bounds.next();
    const claimed: ClaimedDelivery[] = [];
    this.tokenInMs = undefined;
    this.isSlotAwaited = false;
    const begin = this.after;
    for (let isRound = false; ;) {
      const limit = request.limit - claimed.length;
      const look = await this.claims.claim('due', { ...request, limit }, this.slice(bounds));
      this.note(look);
      claimed.push(...look.claims);
      if (look.claims.length > 0 && look.claims.length >= limit) {
        this.after =
          reachedLast(
            look.claims.map(({ endpointId }) => endpointId),
            this.after,
          ) ?? this.after;
        return claimed;
      }
      const edge = look.edge ?? LOWEST_ID;
      isRound ||= edge <= this.after;
      this.after = edge;
      if (look.seen < SLICE || (isRound && edge >= begin)) return claimed;
    }
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
    return this.bounds.known();
  }

  private note({ claims, tokenInMs, isSlotAwaited }: LimitedLook): void {
    const behind = this.bounds.note(
      claims.map(({ endpointId, dueAtUs }) => ({ endpointId, dueAtUs: Number(dueAtUs) })),
    );
    if (behind > 0) this.onFoundLate(behind);
    if (tokenInMs !== null) this.tokenInMs = Math.min(this.tokenInMs ?? Infinity, tokenInMs);
    this.isSlotAwaited ||= isSlotAwaited;
  }

  private slice(bounds: ReadonlyMap<string, number>): LimitedRows {
    const half = (condition: string): string =>
      `SELECT ${LIMITED_COLUMNS}, coalesce(b.at, '-infinity') AS bound FROM ${this.schema}.webhook_endpoints e
         LEFT JOIN bound b ON b.endpoint_id = e.id
        WHERE e.state = 'active' AND ${isLimited('e')} AND ${condition} ORDER BY e.id LIMIT ${SLICE}`;
    return {
      ctes: `${boundsIn('$7', '$8')},`,
      endpoints: `(${half('e.id > $6::uuid')}) UNION ALL (${half('e.id <= $6::uuid')}) LIMIT ${SLICE}`,
      rows: (endpoint) =>
        `FROM ${this.schema}.webhook_deliveries r WHERE r.endpoint_id = ${endpoint}.id AND r.next_at >= ${endpoint}.bound AND ${isOfKind('due')}`,
      values: [this.after, [...bounds.keys()], [...bounds.values()]],
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
