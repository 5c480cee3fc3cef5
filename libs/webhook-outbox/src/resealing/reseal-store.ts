import type { Queryable } from '@nest-baton/core';
import type { SealedSecret } from '../endpoints/key-ring.js';
import type { SignatureKind } from '../signing/signing-key.js';

/** Something of an endpoint that is sealed, as it was read. */
export interface SealedPart extends SealedSecret {
  readonly endpointId: string;
  readonly part: 'secret' | 'headers' | 'legacy';
  /** Of a secret. */
  readonly secretId: string | null;
  readonly kind: SignatureKind | null;
}

export interface ResealedPart {
  readonly from: SealedPart;
  readonly to: SealedSecret;
}

/** Endpoints of one page. */
const PAGE = 200;

/**
 * The statements that seal anew.
 *
 * Race: what is rotated, changed or deleted at this moment. A write finds its row only if it holds the very bytes that were read, and leaves alone
 * what somebody has locked. The endpoint's version stays, as what is sealed stays.
 */
export class ResealStore {
  constructor(
    private readonly on: Queryable,
    private readonly schema: string,
  ) {}

  /** What is not sealed with the key, of the next endpoints with such things behind `after`, in order of id. Empty after the last. */
  async page(keyId: string, after: string): Promise<readonly SealedPart[]> {
    const others = (columns: string): string =>
      `SELECT ${columns} FROM ${this.schema}.webhook_secrets s
        WHERE s.endpoint_id = e.id AND s.key_id <> $1 AND (s.expires_at IS NULL OR s.expires_at > statement_timestamp())`;
    const { rows } = await this.on.query<SealedPart>(
      `WITH page AS MATERIALIZED (
         SELECT e.* FROM ${this.schema}.webhook_endpoints e
          WHERE e.id > $2::uuid AND e.state <> 'deleted'
            AND (e.headers_key_id <> $1 OR e.legacy_key_id <> $1 OR EXISTS (${others('')})) ORDER BY e.id LIMIT ${PAGE})
       SELECT e.id AS "endpointId", p.* FROM page e CROSS JOIN LATERAL (
         ${others(`'secret' AS part, s.id AS "secretId", s.kind, s.key_id AS "keyId", s.sealed`)}
         UNION ALL SELECT 'headers', NULL, NULL, e.headers_key_id, e.headers_sealed WHERE e.headers_key_id <> $1
         UNION ALL SELECT 'legacy', NULL, NULL, e.legacy_key_id, e.legacy_sealed WHERE e.legacy_key_id <> $1) p
        ORDER BY e.id`,
      [keyId, after],
    );
    return rows;
  }

  /** Returns how many were as they had been read. */
  async replace(parts: readonly ResealedPart[]): Promise<number> {
    const of = (part: SealedPart['part']): readonly ResealedPart[] => parts.filter(({ from }) => from.part === part);
    return (
      (await this.replaceSecrets(of('secret'))) +
      (await this.replaceColumns('headers', of('headers'))) +
      (await this.replaceColumns('legacy', of('legacy')))
    );
  }

  private async replaceSecrets(parts: readonly ResealedPart[]): Promise<number> {
    if (parts.length === 0) return 0;
    const { rowCount } = await this.on.query(
      `WITH mine AS MATERIALIZED (
         SELECT s.endpoint_id, s.id, g.key_id, g.sealed FROM ${this.schema}.webhook_secrets s
           JOIN unnest($1::uuid[], $2::bytea[], $3::text[], $4::bytea[], $5::uuid[]) AS g(endpoint_id, was, key_id, sealed, id)
             ON g.endpoint_id = s.endpoint_id AND g.id = s.id AND g.was = s.sealed
          ORDER BY s.endpoint_id, s.id FOR UPDATE OF s SKIP LOCKED)
       UPDATE ${this.schema}.webhook_secrets s SET key_id = mine.key_id, sealed = mine.sealed
         FROM mine WHERE s.endpoint_id = mine.endpoint_id AND s.id = mine.id RETURNING s.id`,
      [...columnsOf(parts), parts.map(({ from }) => from.secretId)],
    );
    return rowCount;
  }

  private async replaceColumns(name: 'headers' | 'legacy', parts: readonly ResealedPart[]): Promise<number> {
    if (parts.length === 0) return 0;
    const { rowCount } = await this.on.query(
      `WITH mine AS MATERIALIZED (
         SELECT e.id, g.key_id, g.sealed FROM ${this.schema}.webhook_endpoints e
           JOIN unnest($1::uuid[], $2::bytea[], $3::text[], $4::bytea[]) AS g(id, was, key_id, sealed) ON g.id = e.id AND g.was = e.${name}_sealed
          ORDER BY e.id FOR UPDATE OF e SKIP LOCKED)
       UPDATE ${this.schema}.webhook_endpoints e SET ${name}_key_id = mine.key_id, ${name}_sealed = mine.sealed
         FROM mine WHERE e.id = mine.id RETURNING e.id`,
      columnsOf(parts),
    );
    return rowCount;
  }
}

function columnsOf(parts: readonly ResealedPart[]): unknown[] {
  return [
    parts.map(({ from }) => from.endpointId),
    parts.map(({ from }) => from.sealed),
    parts.map(({ to }) => to.keyId),
    parts.map(({ to }) => to.sealed),
  ];
}
