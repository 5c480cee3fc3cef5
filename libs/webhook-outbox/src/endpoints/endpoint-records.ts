import type { Queryable } from '@nest-baton/core';
import type { NewEvent } from '../producing/event-batch.js';
import type { CheckedChange } from './endpoint-check.js';
import type { Endpoint, EndpointSecret, EndpointStanding } from './endpoint.js';
import { isLimited } from '../limiting/token-bucket.js';
import { type LimitColumn, limitColumns } from '../limiting/endpoint-limits.js';
import { type LegacySignature, shownLegacySignature } from '../signing/legacy-signature.js';
import type { SealedSecret } from './key-ring.js';
import type { SecretsFound } from './secret-store.js';

/** Times of secrets are texts, since they come as JSON. */
type EndpointRecord = Omit<Endpoint, 'secrets' | 'signatures'> & {
  readonly secrets: readonly (Omit<EndpointSecret, 'createdAt' | 'expiresAt'> & {
    readonly createdAt: string;
    readonly expiresAt: string | null;
  })[];
};

export interface EndpointQuery {
  readonly tenant: string | undefined;
  readonly states: readonly EndpointStanding[];
  /** Ids above. */
  readonly after: string;
  readonly limit: number;
}

/**
 * The statements on endpoints that people ask for, each of one endpoint; `tenant` undefined: of any. What is deleted is not there any more.
 * A change raises the version, which relays compare before each request.
 */
export class EndpointRecords {
  /** @param handOffGraceMs undefined where relays send whatever is due. */
  constructor(
    private readonly on: Queryable,
    private readonly schema: string,
    private readonly handOffGraceMs: number | undefined,
  ) {}

  async list({ tenant, states, after, limit }: EndpointQuery): Promise<readonly Endpoint[]> {
    const { rows } = await this.on.query<EndpointRecord>(
      `SELECT ${this.columns()} FROM ${this.schema}.webhook_endpoints e
        WHERE ($1::text IS NULL OR e.tenant = $1) AND e.state = ANY ($2::text[]) AND e.id > $3::uuid ORDER BY e.id LIMIT $4`,
      [tenant ?? null, states, after, limit],
    );
    return rows.map(endpointOf);
  }

  async find(id: string, tenant: string | undefined): Promise<Endpoint | undefined> {
    const { rows } = await this.on.query<EndpointRecord>(
      `SELECT ${this.columns()} FROM ${this.schema}.webhook_endpoints e WHERE ${FOUND}`,
      [id, tenant ?? null],
    );
    return rows.map(endpointOf)[0];
  }

  /** Together with the version that they belong to. */
  async secrets(id: string, tenant: string | undefined): Promise<SecretsFound | undefined> {
    const { rows } = await this.on.query<EndpointRecord & { readonly version: number }>(
      `SELECT e.version, ${this.columns()} FROM ${this.schema}.webhook_endpoints e WHERE ${FOUND}`,
      [id, tenant ?? null],
    );
    return rows.map((row) => ({ version: row.version, secrets: endpointOf(row).secrets }))[0];
  }

  /** `sealed`: of what the change says. */
  async update(
    id: string,
    tenant: string | undefined,
    { url, types, headers, legacySignature, limits, onDead }: CheckedChange,
    sealed: { readonly headers: SealedSecret | null; readonly legacy: SealedSecret | null },
  ): Promise<Endpoint | undefined> {
    const columns = [
      ...limitColumns(limits),
      ...legacyColumns(legacySignature, sealed.legacy),
      ...(onDead === undefined ? [] : [{ column: 'on_dead', type: 'text', value: onDead }]),
    ];
    const areKept = '$5::text[] IS NULL';
    return this.set(
      id,
      tenant,
      `url = coalesce($3, url), types = coalesce($4::text[], types), header_names = coalesce($5::text[], header_names),
       headers_key_id = CASE WHEN ${areKept} THEN headers_key_id ELSE $6 END,
       headers_sealed = CASE WHEN ${areKept} THEN headers_sealed ELSE $7::bytea END
       ${columns.map(({ column, type }, nth) => `, ${column} = $${8 + nth}::${type}`).join('')}`,
      [
        ...[url ?? null, types ?? null, headers === undefined ? null : Object.keys(headers)],
        ...[sealed.headers?.keyId ?? null, sealed.headers?.sealed ?? null],
        ...columns.map(({ value }) => value),
      ],
    );
  }

  /** Its open deliveries are parked by the relays, a batch at a time, and so is what is sent from now on. */
  async disable(id: string, tenant: string | undefined): Promise<Endpoint | undefined> {
    return this.set(id, tenant, `state = 'disabled', disabled_reason = coalesce(disabled_reason, 'requested')`);
  }

  /**
   * Its row is kept, so that its deliveries have an endpoint; its secrets, its headers and what it has done wrong are not. Its deliveries are abandoned by
   * the relays, a batch at a time. False: it was changed at this moment, so that a secret may be there that the statement does not see.
   */
  async delete(id: string, tenant: string | undefined): Promise<boolean | undefined> {
    const { rows } = await this.on.query<{ isDeleted: boolean }>(
      `WITH ${this.lockedHealth()},
       seen AS MATERIALIZED (
         SELECT e.id, e.version FROM ${this.schema}.webhook_endpoints e WHERE ${FOUND} AND ${AFTER_HEALTH}
       ), deleted AS (
         UPDATE ${this.schema}.webhook_endpoints e
            SET state = 'deleted', headers_key_id = NULL, headers_sealed = NULL,
                legacy_signature = NULL, legacy_key_id = NULL, legacy_sealed = NULL, version = e.version + 1, updated_at = clock_timestamp()
           FROM seen WHERE e.id = seen.id AND e.version = seen.version RETURNING e.id
       ), forgotten AS (
         DELETE FROM ${this.schema}.webhook_secrets s USING deleted WHERE s.endpoint_id = deleted.id
       ), forgiven AS (
         DELETE FROM ${this.schema}.webhook_endpoint_states s USING deleted WHERE s.endpoint_id = deleted.id)
       SELECT EXISTS (SELECT FROM deleted) AS "isDeleted" FROM seen`,
      [id, tenant ?? null],
    );
    return rows[0]?.isDeleted;
  }

  /**
   * Forgets what it has done wrong, too. The state is locked before the endpoint, as by whoever writes what an answer says of it: such an
   * answer is either forgotten here or counted anew. What it has used of its rate is not forgotten.
   */
  async enable(id: string, tenant: string | undefined): Promise<Endpoint | undefined> {
    const { rows } = await this.on.query<EndpointRecord>(
      `WITH ${this.lockedHealth()},
       enabled AS (
         UPDATE ${this.schema}.webhook_endpoints e
            SET state = 'active', disabled_reason = NULL, version = e.version + 1, updated_at = clock_timestamp()
          WHERE ${FOUND} AND ${AFTER_HEALTH} RETURNING e.*
       ), forgotten AS (
         DELETE FROM ${this.schema}.webhook_endpoint_states s USING enabled WHERE s.endpoint_id = enabled.id AND NOT ${isLimited('enabled')}
       ), cleared AS (
         UPDATE ${this.schema}.webhook_endpoint_states s
            SET breaker = 'closed', open_until = NULL, probe_until = NULL, failures = 0, failing_since = NULL, failing_events = 0,
                paused_until = NULL, warned_at = NULL
           FROM enabled WHERE s.endpoint_id = enabled.id AND ${isLimited('enabled')})
       SELECT ${this.columns()} FROM enabled e`,
      [id, tenant ?? null],
    );
    return rows.map(endpointOf)[0];
  }

  /** An event with one delivery, for this endpoint and whatever types it wants. Undefined: it is not active. */
  async insertTest(id: string, event: NewEvent): Promise<string | undefined> {
    const { rows } = await this.on.query<{ id: string }>(
      `WITH wanted AS (SELECT id FROM ${this.schema}.webhook_endpoints WHERE id = $1 AND state = 'active'),
       event AS (
         INSERT INTO ${this.schema}.webhook_events (id, tenant, dedupe_key, type, body, content_hash, created_at)
         SELECT $2::uuid, $3, $4, $5, $6, $7::bytea, clock_timestamp() FROM wanted RETURNING id
       ), hand_off AS (
         INSERT INTO ${this.schema}.webhook_hand_offs (event_id, kind, next_at, fence, count)
         SELECT id, 'sweep', clock_timestamp(), 0, 0 FROM event WHERE $8::float8 IS NOT NULL)
       INSERT INTO ${this.schema}.webhook_deliveries
              (event_id, endpoint_id, state, next_at, fence, attempts, lease_losses, created_at)
       SELECT event.id, wanted.id, 'ready', clock_timestamp(), 0, 0, 0, clock_timestamp() FROM event, wanted RETURNING id`,
      [
        id,
        event.outboxId,
        event.tenant,
        event.key,
        event.type,
        event.body,
        event.contentHash,
        this.handOffGraceMs ?? null,
      ],
    );
    return rows[0]?.id;
  }

  private lockedHealth(): string {
    return `health AS MATERIALIZED (
         SELECT s.endpoint_id FROM ${this.schema}.webhook_endpoint_states s JOIN ${this.schema}.webhook_endpoints e ON e.id = s.endpoint_id
          WHERE ${FOUND} FOR UPDATE OF s)`;
  }

  private columns(): string {
    return `e.id, e.url, e.types, e.tenant, e.header_names AS "headerNames", e.legacy_signature AS "legacySignature",
              e.schedule_ms AS "scheduleMs",
              e.max_in_flight AS "maxInFlight",
              e.global_max_in_flight AS "globalMaxInFlight",
              CASE WHEN e.rate_per_second IS NOT NULL THEN jsonb_build_object('perSecond', e.rate_per_second, 'burst', e.rate_burst) END AS rate,
              coalesce(e.order_mode, 'none') AS order, e.on_dead AS "onDead", e.state, e.disabled_reason AS "disabledReason",
              e.created_at AS "createdAt", e.updated_at AS "updatedAt", (
              SELECT coalesce(jsonb_agg(jsonb_build_object('id', s.id, 'kind', s.kind, 'publicKey', s.public_key,
                                                           'createdAt', s.created_at, 'expiresAt', s.expires_at)
                                        ORDER BY s.kind, s.created_at DESC, s.id), '[]')
                FROM ${this.schema}.webhook_secrets s
               WHERE s.endpoint_id = e.id AND (s.expires_at IS NULL OR s.expires_at > statement_timestamp())) AS secrets`;
  }

  private async set(
    id: string,
    tenant: string | undefined,
    what: string,
    values: readonly unknown[] = [],
  ): Promise<Endpoint | undefined> {
    const { rows } = await this.on.query<EndpointRecord>(
      `UPDATE ${this.schema}.webhook_endpoints e SET ${what}, version = e.version + 1, updated_at = clock_timestamp()
        WHERE ${FOUND} RETURNING ${this.columns()}`,
      [id, tenant ?? null, ...values],
    );
    return rows.map(endpointOf)[0];
  }
}

const FOUND = `e.id = $1::uuid AND ($2::text IS NULL OR e.tenant = $2) AND e.state <> 'deleted'`;

/** True, and known only when the state is locked. */
const AFTER_HEALTH = '(SELECT count(*) FROM health) >= 0';

/** None when it is not changed. */
function legacyColumns(
  legacy: LegacySignature | null | undefined,
  sealed: SealedSecret | null,
): readonly LimitColumn[] {
  if (legacy === undefined) return [];
  return [
    { column: 'legacy_signature', type: 'jsonb', value: legacy && JSON.stringify(shownLegacySignature(legacy)) },
    { column: 'legacy_key_id', type: 'text', value: sealed?.keyId ?? null },
    { column: 'legacy_sealed', type: 'bytea', value: sealed?.sealed ?? null },
  ];
}

function endpointOf(row: EndpointRecord): Endpoint {
  const secrets = row.secrets.map((one) => ({
    ...one,
    createdAt: new Date(one.createdAt),
    expiresAt: one.expiresAt === null ? null : new Date(one.expiresAt),
  }));
  return { ...row, secrets, signatures: [...new Set(secrets.map(({ kind }) => kind))].sort() };
}
