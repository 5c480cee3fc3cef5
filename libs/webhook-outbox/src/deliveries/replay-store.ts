import type { Queryable } from '@nest-baton/core';
import type { DeliveryState } from '../delivering/delivery.js';
import { type CheckedFilter, filterSql } from './delivery-filter.js';
import { DELIVERY_COLUMNS, type DeliveryRow, storedDelivery } from './delivery-records.js';
import { ABANDONABLE, IN_THE_WAY, REPLAYABLE, type StoredDelivery } from './stored-delivery.js';
import { nextFence } from '../schema/next-fence.js';

/** What became of one delivery that was to be moved; `moved` undefined: it was in a state that forbids it. */
export interface Moved {
  readonly found: DeliveryState;
  readonly isEndpointActive: boolean;
  readonly moved: StoredDelivery | undefined;
}

/** Where a walk over deliveries, in order of id, goes on. */
export interface Walk {
  readonly after: string;
  /** Deliveries that came after the walk began are not in it; undefined before the first page. */
  readonly until: string | undefined;
  /** By the database's clock, as its text: from which times are counted; undefined before the first page. */
  readonly startedAt: string | undefined;
}

export const WALK_FROM_START: Walk = { after: '0', until: undefined, startedAt: undefined };

export interface MovedPage extends Walk {
  /** Undefined: this was the last page. */
  readonly next: Walk | undefined;
  readonly moved: number;
  /** Of endpoints that are not active, or taken by somebody meanwhile. */
  readonly skipped: number;
  readonly lastDueAt: Date | null;
}

export interface Counted {
  readonly active: number;
  readonly inactive: number;
}

const PAGE = 500;

const NEXT_FENCE = nextFence('d');

/** What a replay writes: new attempts under a new fence, in a line at the old place. What the last one came to stays until the next has an outcome. */
const AS_NEW = `state = CASE WHEN d.line_id IS NULL THEN 'ready' ELSE 'queued' END, fence = ${NEXT_FENCE}, attempts = 0, lease_losses = 0, started_at = NULL, reason = NULL, settled_at = NULL`;

const AS_ABANDONED = `state = 'abandoned', reason = 'abandoned', settled_at = clock_timestamp()`;

/**
 * The statements that move deliveries because somebody asked for it. None of them touches one that is leased: its row is locked first, and its
 * state read then.
 *
 * Replays lock the event before its deliveries, as what deletes old events does: an event that is being deleted is gone for a replay, and one
 * that is being replayed is not old.
 */
export class ReplayStore {
  /** @param isQueued a queue says what is sent: it is told again of what was replayed. */
  constructor(
    private readonly on: Queryable,
    private readonly schema: string,
    private readonly isQueued: boolean,
  ) {}

  /** Undefined: there is none, or not of this tenant. */
  async replay(id: string, tenant: string | undefined): Promise<Moved | undefined> {
    return this.moveOne(
      `event AS MATERIALIZED (
         SELECT e.id, e.tenant, e.type, e.dedupe_key, e.order_key FROM ${this.schema}.webhook_events e
          WHERE e.id = (SELECT event_id FROM ${this.schema}.webhook_deliveries WHERE id = $1::bigint) AND ($2::text IS NULL OR e.tenant = $2)
            FOR KEY SHARE)`,
      `${AS_NEW}, next_at = clock_timestamp()`,
      `found."isEndpointActive" AND found.state IN (${list(REPLAYABLE)})`,
      [id, tenant ?? null],
    );
  }

  /** Undefined: there is none, or not of this tenant. */
  async abandon(id: string, tenant: string | undefined): Promise<Moved | undefined> {
    return this.moveOne(
      `event AS (
         SELECT e.* FROM ${this.schema}.webhook_events e
          WHERE e.id = (SELECT event_id FROM ${this.schema}.webhook_deliveries WHERE id = $1::bigint) AND ($2::text IS NULL OR e.tenant = $2))`,
      AS_ABANDONED,
      `(${isAbandonable('found')})`,
      [id, tenant ?? null],
    );
  }

  private async moveOne(event: string, set: string, condition: string, values: unknown[]): Promise<Moved | undefined> {
    const { rows } = await this.on.query<DeliveryRow & { found: DeliveryState; isEndpointActive: boolean }>(
      `WITH ${event},
       found AS MATERIALIZED (
         SELECT d.id, d.state, d.line_id, coalesce(p.state = 'active', false) AS "isEndpointActive" FROM ${this.schema}.webhook_deliveries d
           JOIN event ON event.id = d.event_id LEFT JOIN ${this.schema}.webhook_endpoints p ON p.id = d.endpoint_id
          WHERE d.id = $1::bigint FOR UPDATE OF d
       ), moved AS (
         UPDATE ${this.schema}.webhook_deliveries d SET ${set} FROM found WHERE d.id = found.id AND ${condition} RETURNING d.*
       )${this.handOff(set)}
       SELECT found.state AS found, found."isEndpointActive", ${DELIVERY_COLUMNS}
         FROM found LEFT JOIN (moved d JOIN event e ON e.id = d.event_id) ON true`,
      values,
    );
    return rows.map(({ found, isEndpointActive, ...row }) => ({
      found,
      isEndpointActive,
      moved: row.id === null ? undefined : storedDelivery(row),
    }))[0];
  }

  /**
   * Replays the next page of a walk; the nth of the walk is due n / `rate` seconds after its beginning. Each delivery is looked at once in a walk,
   * so one that fails again meanwhile is not replayed again.
   */
  async replayPage(filter: CheckedFilter, walk: Walk, done: number, rate: number): Promise<MovedPage> {
    const due = `greatest(clock_timestamp(), coalesce($3::timestamptz, statement_timestamp())
                   + make_interval(secs => ($4::float8 + chosen.nth - 1) / $5::float8))`;
    return this.movePage(filter, walk, `${AS_NEW}, next_at = ${due}`, [done, rate], true);
  }

  /** Of those that are over, only those for which others may wait. */
  async abandonPage(filter: CheckedFilter, walk: Walk): Promise<MovedPage> {
    return this.movePage(filter, walk, AS_ABANDONED, [], false);
  }

  /** Rows are locked in order of id; events, where they are, before them and in order of theirs. */
  private async movePage(
    filter: CheckedFilter,
    walk: Walk,
    set: string,
    more: readonly number[],
    isReplay: boolean,
  ): Promise<MovedPage> {
    const { condition, values } = filterSql(filter, this.schema, 4 + more.length);
    const states = list(filter.states);
    const { rows } = await this.on.query<PageRow>(
      `WITH edge AS (
         SELECT coalesce($2::bigint, (SELECT max(id) FROM ${this.schema}.webhook_deliveries), 0) AS until,
                coalesce($3::timestamptz, statement_timestamp()) AS started_at
       ), page AS MATERIALIZED (
         SELECT d.id, d.event_id FROM ${this.schema}.webhook_deliveries d JOIN ${this.schema}.webhook_events e ON e.id = d.event_id
          WHERE d.id > $1::bigint AND d.id <= (SELECT until FROM edge) AND ${condition} ORDER BY d.id LIMIT ${PAGE}
       ), event AS MATERIALIZED (
         SELECT e.id FROM ${this.schema}.webhook_events e WHERE e.id IN (SELECT event_id FROM page)
          ORDER BY e.id ${isReplay ? 'FOR KEY SHARE' : ''}
       ), found AS MATERIALIZED (
         SELECT d.id, coalesce(p.state = 'active', false) AS is_active FROM ${this.schema}.webhook_deliveries d
           JOIN page ON page.id = d.id JOIN event ON event.id = d.event_id
           LEFT JOIN ${this.schema}.webhook_endpoints p ON p.id = d.endpoint_id
          WHERE d.state IN (${states})${isReplay ? '' : ` AND (${isAbandonable('d')})`} ORDER BY d.id FOR UPDATE OF d
       ), chosen AS (
         SELECT id, row_number() OVER (ORDER BY id) AS nth FROM found ${isReplay ? 'WHERE is_active' : ''}
       ), moved AS (
         UPDATE ${this.schema}.webhook_deliveries d SET ${set} FROM chosen WHERE d.id = chosen.id RETURNING d.event_id, d.next_at
       )${this.handOff(set)}
       SELECT (SELECT count(*)::int FROM page) AS looked, (SELECT max(id) FROM page) AS after, edge.until, edge.started_at::text AS "startedAt",
              (SELECT count(*)::int FROM moved) AS moved, (SELECT max(next_at) FROM moved) AS "lastDueAt"
         FROM edge`,
      [walk.after, walk.until ?? null, walk.startedAt ?? null, ...more, ...values],
    );
    return pageOf(rows[0]);
  }

  /** What a walk over the filter would find now. */
  async count(filter: CheckedFilter): Promise<Counted> {
    const { condition, values } = filterSql(filter, this.schema, 1);
    const { rows } = await this.on.query<Counted>(
      `SELECT count(*) FILTER (WHERE p.state = 'active')::int AS active,
              count(*) FILTER (WHERE p.state IS DISTINCT FROM 'active')::int AS inactive
         FROM ${this.schema}.webhook_deliveries d JOIN ${this.schema}.webhook_events e ON e.id = d.event_id
         LEFT JOIN ${this.schema}.webhook_endpoints p ON p.id = d.endpoint_id
        WHERE ${condition}`,
      values,
    );
    return rows[0] ?? { active: 0, inactive: 0 };
  }

  /** The sweep tells the queue of it when it is due. An event whose sweep lease is held is found again when that ends. */
  private handOff(set: string): string {
    if (!this.isQueued || !set.startsWith(AS_NEW)) return '';
    return `, hand_off AS (
         INSERT INTO ${this.schema}.webhook_hand_offs AS h (event_id, kind, next_at, fence, count)
         SELECT event_id, 'sweep', min(next_at), 0, 0 FROM moved GROUP BY event_id ORDER BY event_id
             ON CONFLICT (event_id) DO UPDATE SET next_at = least(h.next_at, EXCLUDED.next_at)
          WHERE h.kind = 'sweep' AND h.lease_until IS NULL)`;
  }
}

interface PageRow {
  readonly looked: number;
  readonly after: string | null;
  readonly until: string;
  readonly startedAt: string;
  readonly moved: number;
  readonly lastDueAt: Date | null;
}

function pageOf(row: PageRow | undefined): MovedPage {
  const { looked = 0, after = null, until = '0', startedAt = '', moved = 0, lastDueAt = null } = row ?? {};
  const walk = { after: after ?? until, until, startedAt };
  return { ...walk, next: looked < PAGE ? undefined : walk, moved, skipped: looked - moved, lastDueAt };
}

/** As SQL: nobody sends the delivery, and it is not over, or is in the way of others. */
function isAbandonable(delivery: string): string {
  return `${delivery}.state IN (${list(ABANDONABLE)}) OR (${delivery}.line_id IS NOT NULL AND ${delivery}.state IN (${list(IN_THE_WAY)}))`;
}

function list(states: readonly DeliveryState[]): string {
  return states.map((state) => `'${state}'`).join(', ');
}
