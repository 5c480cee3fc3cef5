import type { Queryable } from '@nest-baton/core';
import {
  type ClaimedDelivery,
  type ClaimRequest,
  CLAIM_COLUMNS,
  isUnpaused,
  leaseOf,
  SUSPECT_AFTER,
} from '../claiming/claim-store.js';
import { leaseUntil } from '../delivering/delivery-store.js';
import { refilled, WHOLE_TOKEN, worthLooking } from './token-bucket.js';

/**
 * `due`: whatever is due. `suspect`: one that was twice in the hands of a process that vanished. `probe`: one for each endpoint whose breaker has
 * been open for long enough.
 */
export type ClaimKind = 'due' | 'suspect' | 'probe';

/** Where claims for limited endpoints look. Its parameters begin with `$6`. */
export interface LimitedRows {
  /** CTEs before all others, each with a comma behind it. */
  readonly ctes: string;
  /** A SELECT of `LIMITED_COLUMNS` of limited, active endpoints, in the order in which they have their turn. */
  readonly endpoints: string;
  /** From FROM on: deliveries `r` that are due for the endpoint, by its alias. */
  readonly rows: (endpoint: string) => string;
  readonly values: readonly unknown[];
}

/** Of endpoints, called `e`. */
export const LIMITED_COLUMNS =
  'e.id, e.version, e.max_in_flight, e.rate_per_second AS rate, e.rate_burst AS burst, e.global_max_in_flight AS most';

export interface LimitedLook {
  readonly claims: readonly (ClaimedDelivery & { readonly dueAtUs: string })[];
  /** Endpoints that were looked at. */
  readonly seen: number;
  /** The last of them; `null` without any. */
  readonly edge: string | null;
  /** Until tokens come for something that is due; `null` when nothing waits for one. */
  readonly tokenInMs: number | null;
  /** Something is due that no process may start before an outcome is written. */
  readonly isSlotAwaited: boolean;
}

/** As SQL: of a delivery that such a claim takes. */
export function isOfKind(kind: ClaimKind): string {
  const losses = `r.lease_losses ${kind === 'suspect' ? '>=' : '<'} ${SUSPECT_AFTER}`;
  return `r.state = 'ready' AND r.next_at <= statement_timestamp() AND ${losses}`;
}

const MAY_BE_SENT: Readonly<Record<ClaimKind, string>> = {
  due: `s.breaker IS DISTINCT FROM 'open'`,
  suspect: `(s.breaker IS DISTINCT FROM 'open' OR s.open_until <= statement_timestamp())`,
  probe: `s.breaker = 'open' AND s.open_until <= statement_timestamp() AND (s.probe_until IS NULL OR s.probe_until <= statement_timestamp())`,
};

/**
 * Claims for endpoints with a limit that all processes share: each delivery takes a token out of the bucket in the endpoint's state, and a slot
 * there, in the statement that leases it.
 *
 * A slot is the delivery's id with the fence of its claim, so nobody has to give it back: it is free when that claim is over, by its settle, a release,
 * or the end of its lease.
 *
 * Race: two processes that look at one endpoint. The state is locked first, in order of id, and its bucket filled up by the clock of the moment
 * after that; whoever finds it locked leaves the endpoint to the other. A token is not given back: of what is claimed and not sent, the rate pays.
 */
export class LimitedClaims {
  constructor(
    private readonly on: Queryable,
    private readonly schema: string,
  ) {}

  async claim(
    kind: ClaimKind,
    { limit, leaseMs, maxInFlight, held }: ClaimRequest,
    from: LimitedRows,
  ): Promise<LimitedLook> {
    const { rows } = await this.on.query<LimitedLook['claims'][number] & LimitedLook>(
      `WITH busy AS (SELECT * FROM unnest($1::uuid[], $2::int[]) AS h(endpoint_id, n)),
       ${from.ctes}
       ${this.candidates(kind, from)},
       ${this.slots(kind)},
       due AS MATERIALIZED (
         SELECT d.id, u.version, u.is_troubled, u.max_in_flight FROM (SELECT * FROM slot WHERE allowed > 0 ORDER BY nth) u
          CROSS JOIN LATERAL (
            SELECT r.id ${from.rows('u')} ORDER BY r.next_at, r.id LIMIT u.allowed FOR UPDATE OF r SKIP LOCKED) d
          LIMIT $4
       ), c AS (${leaseOf(this.schema, 'due', '$5')}),
       ${this.taken(kind)}
       SELECT k.*, claimed.*
         FROM (SELECT count(*)::int AS seen, (array_agg(id ORDER BY nth DESC))[1] AS edge, (${WAIT}) AS "tokenInMs", (${AWAITED}) AS "isSlotAwaited" FROM slice) k
         LEFT JOIN (SELECT ${CLAIM_COLUMNS}, (extract(epoch FROM c.next_at) * 1000000)::bigint AS "dueAtUs"
                      FROM c LEFT JOIN ${this.schema}.webhook_events e ON e.id = c.event_id) claimed ON true`,
      [[...held.keys()], [...held.values()], maxInFlight, limit, leaseMs, ...from.values],
    );
    const [first] = rows;
    return {
      claims: rows.filter(({ id }) => id !== null),
      seen: first?.seen ?? 0,
      edge: first?.edge ?? null,
      tokenInMs: first?.tokenInMs ?? null,
      isSlotAwaited: first?.isSlotAwaited === true,
    };
  }

  /** Endpoints with something due and a free slot. One that never had a state gets one, for the next look. */
  private candidates(kind: ClaimKind, from: LimitedRows): string {
    return `slice AS MATERIALIZED (SELECT u.*, row_number() OVER () AS nth FROM (${from.endpoints}) u),
       candidate AS MATERIALIZED (
         SELECT u.*, s.endpoint_id IS NOT NULL AS is_known, s.failing_since IS NOT NULL AS is_troubled,
                coalesce(u.max_in_flight, $3::int) - coalesce(h.n, 0) AS free,
                ${refilled('s', 'statement_timestamp()', 'u.rate', 'u.burst')} AS tokens,
                u.most IS NULL OR coalesce(cardinality(s.slot_ids), 0) < u.most OR EXISTS (
                  SELECT ${this.slotsOf('s')} WHERE ${IS_TAKEN} IS NOT TRUE) AS has_room
           FROM slice u LEFT JOIN busy h ON h.endpoint_id = u.id
           LEFT JOIN ${this.schema}.webhook_endpoint_states s ON s.endpoint_id = u.id
          WHERE ${MAY_BE_SENT[kind]} AND ${isUnpaused('s')} AND coalesce(h.n, 0) < coalesce(u.max_in_flight, $3::int)
            AND EXISTS (SELECT ${from.rows('u')})
       ), made AS (
         INSERT INTO ${this.schema}.webhook_endpoint_states (endpoint_id, breaker, failures, failing_events)
         SELECT id, 'closed', 0, 0 FROM candidate WHERE NOT is_known ORDER BY id ON CONFLICT (endpoint_id) DO NOTHING)`;
  }

  /** Locks the states of those with tokens. A bucket from the future, of a clock that was set back since, is dated anew. */
  private slots(kind: ClaimKind): string {
    return `locked AS MATERIALIZED (
         SELECT s.endpoint_id, s.tokens, s.tokens_at, s.slot_ids, s.slot_fences FROM ${this.schema}.webhook_endpoint_states s
           JOIN candidate k ON k.id = s.endpoint_id
          WHERE k.has_room AND (k.rate IS NULL OR k.tokens >= ${WHOLE_TOKEN} OR s.tokens_at > statement_timestamp() + interval '1 s')
            AND ${MAY_BE_SENT[kind]} AND ${isUnpaused('s')}
          ORDER BY s.endpoint_id FOR UPDATE OF s SKIP LOCKED
       ), timed AS MATERIALIZED (
         SELECT l.*, clock_timestamp() AS at FROM locked l
       ), slot AS MATERIALIZED (
         SELECT k.*, b.has, t.at, live.ids, live.fences, least(${kind === 'due' ? '' : '1, '}k.free, floor(b.has + 1 - ${WHOLE_TOKEN}), k.most - live.n)::int AS allowed
           FROM timed t JOIN candidate k ON k.id = t.endpoint_id
          CROSS JOIN LATERAL (SELECT ${refilled('t', 't.at', 'k.rate', 'k.burst')} AS has) b
          CROSS JOIN LATERAL (
            SELECT count(*)::int AS n, array_agg(p.id) AS ids, array_agg(p.fence) AS fences ${this.slotsOf('t')} WHERE ${IS_TAKEN}) live)`;
  }

  private taken(kind: ClaimKind): string {
    const probe = kind === 'probe' ? `, probe_until = CASE WHEN x.n > 0 THEN ${leaseUntil('$5')} END` : '';
    return `taken AS MATERIALIZED (
         SELECT u.*, coalesce(m.n, 0) AS n, m.more_ids, m.more_fences FROM slot u LEFT JOIN (
           SELECT endpoint_id, count(*)::int AS n, array_agg(id) AS more_ids, array_agg(fence) AS more_fences FROM c GROUP BY endpoint_id) m
             ON m.endpoint_id = u.id
       ), spent AS (
         UPDATE ${this.schema}.webhook_endpoint_states s
            SET tokens = x.has - x.n, tokens_at = x.at${probe},
                slot_ids = CASE WHEN x.most IS NOT NULL THEN x.ids || x.more_ids END,
                slot_fences = CASE WHEN x.most IS NOT NULL THEN x.fences || x.more_fences END
           FROM taken x WHERE s.endpoint_id = x.id AND (x.n > 0 OR s.tokens_at > x.at))`;
  }

  /** From FROM on: slots `p` of a state and their deliveries `d`, as this statement's snapshot has them. */
  private slotsOf(state: string): string {
    return `FROM unnest(${state}.slot_ids, ${state}.slot_fences) AS p(id, fence) LEFT JOIN ${this.schema}.webhook_deliveries d ON d.id = p.id`;
  }
}

/**
 * As SQL: of a slot `p` and its delivery `d`. The snapshot may be older than the slot, which was read when its row was locked: then its claim is newer than
 * what is seen of the delivery. One that is not seen at all was deleted, or came after the snapshot: the fence, which is a time, tells.
 */
const IS_TAKEN = `coalesce(d.fence < p.fence OR (d.fence = p.fence AND d.state = 'leased'),
                           p.fence >= (extract(epoch FROM statement_timestamp()) * 1000000)::bigint)`;

/** Milliseconds: of those that found no token, or used up what they found while they had slots left. */
const WAIT = `SELECT min(CASE WHEN NOT k.is_known THEN 0
                             WHEN NOT k.has_room THEN NULL
                             WHEN x.id IS NULL THEN (w.worth - CASE WHEN k.tokens < ${WHOLE_TOKEN} THEN k.tokens ELSE 0 END) / k.rate
                             WHEN x.n >= x.allowed AND x.has - x.n < ${WHOLE_TOKEN} THEN (w.worth - (x.has - x.n)) / k.rate END) * 1000
                 FROM candidate k LEFT JOIN taken x ON x.id = k.id CROSS JOIN LATERAL (SELECT ${worthLooking('k.rate', 'k.burst')} AS worth) w`;

const AWAITED = `SELECT coalesce(bool_or(k.most IS NOT NULL AND (NOT k.has_room OR x.n >= x.allowed)), false)
                   FROM candidate k LEFT JOIN taken x ON x.id = k.id`;
