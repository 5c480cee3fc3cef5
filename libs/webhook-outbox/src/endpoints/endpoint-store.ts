import type { Queryable } from '@nest-baton/core';
import type { SealedSecret } from './key-ring.js';

export interface EndpointRow extends SealedSecret {
  readonly id: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly version: number;
}

export interface NewEndpointRow extends SealedSecret {
  readonly id: string;
  readonly tenant: string;
  readonly url: string;
  readonly types: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
}

const COLUMNS = 'id, url, headers, version, secret_key_id AS "keyId", secret_sealed AS sealed';

const LOWEST_ID = '00000000-0000-0000-0000-000000000000';

export class EndpointStore {
  constructor(
    private readonly on: Queryable,
    private readonly schema: string,
  ) {}

  /** An id is made by the caller, who seals the secret for it, so nothing can collide. */
  async insert(row: NewEndpointRow): Promise<Date> {
    const { rows } = await this.on.query<{ created_at: Date }>(
      `INSERT INTO ${this.schema}.webhook_endpoints
              (id, tenant, url, types, headers, state, version, secret_key_id, secret_sealed, created_at, updated_at)
       VALUES ($1, $2, $3, $4::text[], $5::jsonb, 'active', 1, $6, $7, statement_timestamp(), statement_timestamp())
       RETURNING created_at`,
      [row.id, row.tenant, row.url, row.types, JSON.stringify(row.headers), row.keyId, row.sealed],
    );
    return new Date(rows[0]?.created_at ?? 0);
  }

  /** Locks nothing; an endpoint that is gone is not in the answer. */
  async load(ids: readonly string[]): Promise<readonly EndpointRow[]> {
    const { rows } = await this.on.query<EndpointRow>(
      `SELECT ${COLUMNS} FROM ${this.schema}.webhook_endpoints WHERE id = ANY($1::uuid[]) AND state = 'active'`,
      [ids],
    );
    return rows;
  }

  /** All active endpoints in pages, in order of id. */
  async *all(pageSize = 1_000): AsyncGenerator<EndpointRow> {
    for (let after = LOWEST_ID; ;) {
      const { rows } = await this.on.query<EndpointRow>(
        `SELECT ${COLUMNS} FROM ${this.schema}.webhook_endpoints WHERE state = 'active' AND id > $1 ORDER BY id LIMIT $2`,
        [after, pageSize],
      );
      yield* rows;
      const last = rows.at(-1);
      if (last === undefined || rows.length < pageSize) return;
      after = last.id;
    }
  }
}
