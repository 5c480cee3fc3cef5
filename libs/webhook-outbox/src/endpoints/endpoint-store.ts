import type { Queryable } from '@nest-baton/core';
import { type CheckedLimits, limitColumns } from '../limiting/endpoint-limits.js';
import { type CheckedOrder, orderColumns } from '../ordering/endpoint-order.js';
import type { ShownLegacySignature } from '../signing/legacy-signature.js';
import type { SignatureKind } from '../signing/signing-key.js';
import type { SealedSecret } from './key-ring.js';
import type { NewSecret } from './secret-store.js';

export interface EndpointRow {
  readonly id: string;
  readonly tenant: string;
  readonly types: readonly string[];
  readonly url: string;
  readonly version: number;
  readonly headers: SealedSecret | null;
  readonly legacy: SealedSecret | null;
  readonly scheduleMs: readonly number[] | null;
  /** Those that have not expired, newest first, with the milliseconds that are left to them. */
  readonly secrets: readonly (SealedSecret & { readonly kind: SignatureKind; readonly leftMs: number | null })[];
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
  readonly legacyKeyId: string | null;
  readonly legacySealed: Buffer | null;
  readonly scheduleMs: readonly number[] | null;
  readonly kinds: readonly SignatureKind[] | null;
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
  readonly legacySignature: ShownLegacySignature | null;
  readonly legacy: SealedSecret | null;
  readonly limits: CheckedLimits;
  readonly order: CheckedOrder;
  readonly secrets: readonly NewSecret[];
}

export const LOWEST_ID = '00000000-0000-0000-0000-000000000000';

/** `v1` before `v1a`, of each the newest first. */
const NEWEST_FIRST = 'ORDER BY s.kind, s.created_at DESC, s.id';

export class EndpointStore {
  constructor(
    private readonly on: Queryable,
    private readonly schema: string,
  ) {}

  /**
   * Whether the tenant may have another endpoint; whoever else asks for the same tenant waits until the transaction has ended, and sees what it wrote.
   */
  async hasRoom(tenant: string, most: number): Promise<boolean> {
    await this.on.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [
      `${this.schema}.webhook_endpoints:${tenant}`,
    ]);
    const { rows } = await this.on.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM (
         SELECT FROM ${this.schema}.webhook_endpoints WHERE tenant = $1 AND state <> 'deleted' LIMIT $2) e`,
      [tenant, most],
    );
    return (rows[0]?.n ?? 0) < most;
  }

  /** An id is made by the caller, who seals the secret for it, so nothing can collide. */
  async insert(row: NewEndpointRow): Promise<void> {
    const { id, tenant, url, types, headerNames, headers, legacySignature, legacy, limits, order, secrets } = row;
    const more = [...limitColumns(limits), ...orderColumns(order)];
    await this.on.query(
      `WITH endpoint AS (
         INSERT INTO ${this.schema}.webhook_endpoints
                (id, tenant, url, types, header_names, headers_key_id, headers_sealed, legacy_signature, legacy_key_id, legacy_sealed,
                 ${more.map(({ column }) => `${column}, `).join('')}state, version, created_at, updated_at)
         VALUES ($1, $2, $3, $4::text[], $5::text[], $6, $7, $8::jsonb, $9, $10,
                 ${more.map(({ type }, nth) => `$${16 + nth}::${type}, `).join('')}'active', 1, statement_timestamp(), statement_timestamp()))
       INSERT INTO ${this.schema}.webhook_secrets (endpoint_id, id, kind, public_key, key_id, sealed, created_at)
       SELECT $1, s.*, statement_timestamp() FROM unnest($11::uuid[], $12::text[], $13::text[], $14::text[], $15::bytea[]) s`,
      [
        ...[id, tenant, url, types, headerNames, headers?.keyId ?? null, headers?.sealed ?? null],
        ...[legacySignature && JSON.stringify(legacySignature), legacy?.keyId ?? null, legacy?.sealed ?? null],
        ...[secrets.map((one) => one.id), secrets.map((one) => one.kind), secrets.map((one) => one.publicKey)],
        ...[secrets.map((one) => one.keyId), secrets.map((one) => one.sealed)],
        ...more.map(({ value }) => value),
      ],
    );
  }

  /** Locks nothing; an endpoint that is gone is not in the answer. An endpoint and its secrets are of one snapshot. */
  async load(ids: readonly string[]): Promise<readonly EndpointRow[]> {
    return this.read(`e.id = ANY($1::uuid[]) AND e.state = 'active'`, [ids]);
  }

  /** Of those that are active. */
  async versions(ids: readonly string[]): Promise<readonly { endpointId: string; endpointVersion: number }[]> {
    const { rows } = await this.on.query<{ endpointId: string; endpointVersion: number }>(
      `SELECT id AS "endpointId", version AS "endpointVersion" FROM ${this.schema}.webhook_endpoints
        WHERE id = ANY($1::uuid[]) AND state = 'active'`,
      [ids],
    );
    return rows;
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
      `SELECT e.id, e.tenant, e.types, e.url, e.version, e.headers_key_id AS "headersKeyId", e.headers_sealed AS "headersSealed", e.legacy_key_id AS "legacyKeyId", e.legacy_sealed AS "legacySealed",
              e.schedule_ms AS "scheduleMs", live.*
         FROM ${this.schema}.webhook_endpoints e
        CROSS JOIN LATERAL (
          SELECT array_agg(s.kind ${NEWEST_FIRST}) AS kinds, array_agg(s.key_id ${NEWEST_FIRST}) AS "keyIds", array_agg(s.sealed ${NEWEST_FIRST}) AS sealed,
                 array_agg((extract(epoch FROM s.expires_at - statement_timestamp()) * 1000)::float8 ${NEWEST_FIRST}) AS "leftMs"
            FROM ${this.schema}.webhook_secrets s
           WHERE s.endpoint_id = e.id AND (s.expires_at IS NULL OR s.expires_at > statement_timestamp())) live
        WHERE ${condition}`,
      values,
    );
    return rows.map(endpointRow);
  }
}

function endpointRow(row: StoredRow): EndpointRow {
  const { id, tenant, types, url, version, scheduleMs } = row;
  const secrets = (row.sealed ?? []).map((sealed, nth) => ({
    kind: row.kinds?.[nth] ?? 'v1',
    keyId: row.keyIds?.[nth] ?? '',
    sealed,
    leftMs: row.leftMs?.[nth] ?? null,
  }));
  const headers = sealedOf(row.headersKeyId, row.headersSealed);
  const legacy = sealedOf(row.legacyKeyId, row.legacySealed);
  return { id, tenant, types, url, version, headers, legacy, scheduleMs, secrets };
}

function sealedOf(keyId: string | null, sealed: Buffer | null): SealedSecret | null {
  return keyId === null || sealed === null ? null : { keyId, sealed };
}
