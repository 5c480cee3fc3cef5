import type { Queryable } from '@nest-baton/core';
import type { CheckedLimits } from '../limiting/endpoint-limits.js';
import type { SealedSecret } from './key-ring.js';

export interface EndpointRow {
  readonly id: string;
  readonly tenant: string;
  readonly types: readonly string[];
  readonly url: string;
  readonly version: number;
  readonly headers: SealedSecret | null;
  readonly scheduleMs: readonly number[] | null;
  /** Those that have not expired, newest first, with the milliseconds that are left to them. */
  readonly secrets: readonly (SealedSecret & { readonly leftMs: number | null })[];
}

/** As the driver reads it: lists beside each other. */
interface StoredRow {
  readonly id: string;
  readonly tenant: string;
  readonly types: readonly string[];
  readonly url: string;
  readonly version: number;
  readonly headersKeyId: string | null;
  readonly headersSealed: Buffer | null;
  readonly scheduleMs: readonly number[] | null;
  readonly keyIds: readonly string[] | null;
  readonly sealed: readonly Buffer[] | null;
  readonly leftMs: readonly (number | null)[] | null;
}

export interface NewEndpointRow {
  readonly id: string;
  readonly tenant: string;
  readonly url: string;
  readonly types: readonly string[];
  readonly headerNames: readonly string[];
  readonly headers: SealedSecret | null;
  readonly limits: CheckedLimits;
  readonly secret: SealedSecret & { readonly id: string };
}

const LOWEST_ID = '00000000-0000-0000-0000-000000000000';

const NEWEST_FIRST = 'ORDER BY s.created_at DESC, s.id';

export class EndpointStore {
  constructor(
    private readonly on: Queryable,
    private readonly schema: string,
  ) {}

  /** An id is made by the caller, who seals the secret for it, so nothing can collide. */
  async insert({ id, tenant, url, types, headerNames, headers, limits, secret }: NewEndpointRow): Promise<void> {
    await this.on.query(
      `WITH endpoint AS (
         INSERT INTO ${this.schema}.webhook_endpoints
                (id, tenant, url, types, header_names, headers_key_id, headers_sealed, schedule_ms, max_in_flight, rate_per_second, rate_burst, global_max_in_flight,
                 state, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4::text[], $5::text[], $6, $7, $11::float8[], $12, $13, $14, $15, 'active', 1, statement_timestamp(), statement_timestamp()))
       INSERT INTO ${this.schema}.webhook_secrets (endpoint_id, id, key_id, sealed, created_at)
       VALUES ($1, $8, $9, $10, statement_timestamp())`,
      [
        ...[id, tenant, url, types, headerNames, headers?.keyId ?? null, headers?.sealed ?? null],
        ...[secret.id, secret.keyId, secret.sealed],
        ...[limits.scheduleMs ?? null, limits.maxInFlight ?? null],
        ...[limits.rate?.perSecond ?? null, limits.rate?.burst ?? null, limits.globalMaxInFlight ?? null],
      ],
    );
  }

  /** Locks nothing; an endpoint that is gone is not in the answer. An endpoint and its secrets are of one snapshot. */
  async load(ids: readonly string[]): Promise<readonly EndpointRow[]> {
    return this.read(`e.id = ANY($1::uuid[]) AND e.state = 'active'`, [ids]);
  }

  /** All active endpoints in pages, in order of id. */
  async *all(pageSize = 1_000): AsyncGenerator<EndpointRow> {
    for (let after = LOWEST_ID; ;) {
      const rows = await this.read(`e.state = 'active' AND e.id > $1 ORDER BY e.id LIMIT $2`, [after, pageSize]);
      yield* rows;
      const last = rows.at(-1);
      if (last === undefined || rows.length < pageSize) return;
      after = last.id;
    }
  }

  private async read(condition: string, values: readonly unknown[]): Promise<readonly EndpointRow[]> {
    const { rows } = await this.on.query<StoredRow>(
      `SELECT e.id, e.tenant, e.types, e.url, e.version, e.headers_key_id AS "headersKeyId", e.headers_sealed AS "headersSealed",
              e.schedule_ms AS "scheduleMs", live.*
         FROM ${this.schema}.webhook_endpoints e
        CROSS JOIN LATERAL (
          SELECT array_agg(s.key_id ${NEWEST_FIRST}) AS "keyIds", array_agg(s.sealed ${NEWEST_FIRST}) AS sealed,
                 array_agg((extract(epoch FROM s.expires_at - statement_timestamp()) * 1000)::float8 ${NEWEST_FIRST}) AS "leftMs"
            FROM ${this.schema}.webhook_secrets s
           WHERE s.endpoint_id = e.id AND (s.expires_at IS NULL OR s.expires_at > statement_timestamp())) live
        WHERE ${condition}`,
      values,
    );
    return rows.map(endpointRow);
  }
}

function endpointRow({
  id,
  tenant,
  types,
  url,
  version,
  headersKeyId,
  headersSealed,
  scheduleMs,
  keyIds,
  sealed,
  leftMs,
}: StoredRow): EndpointRow {
  const headers =
    headersKeyId === null || headersSealed === null ? null : { keyId: headersKeyId, sealed: headersSealed };
  const secrets = (sealed ?? []).map((bytes, nth) => ({
    keyId: keyIds?.[nth] ?? '',
    sealed: bytes,
    leftMs: leftMs?.[nth] ?? null,
  }));
  return { id, tenant, types, url, version, headers, scheduleMs, secrets };
}
