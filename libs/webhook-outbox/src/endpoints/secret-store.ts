import type { Queryable } from '@nest-baton/core';
import type { EndpointSecret } from './endpoint.js';
import type { SignatureKind } from '../signing/signing-key.js';
import type { SealedSecret } from './key-ring.js';

/** An endpoint whose secrets are to be changed, as it was read. */
export interface SecretsFound {
  readonly version: number;
  readonly secrets: readonly EndpointSecret[];
}

export interface NewSecret extends SealedSecret {
  readonly id: string;
  readonly kind: SignatureKind;
  readonly publicKey: string | null;
}

/**
 * The statements that change an endpoint's secrets. Each writes only if the endpoint still has the version that was read, and raises it: so of
 * several at once each sees what those before have written, and relays open the secrets anew before they start another request.
 */
export class SecretStore {
  constructor(
    private readonly on: Queryable,
    private readonly schema: string,
  ) {}

  /** The others of its kind expire after so long, or when they would have anyway. Undefined: the version is another by now. */
  async rotate(
    endpointId: string,
    version: number,
    { id, kind, publicKey, keyId, sealed }: NewSecret,
    expireOldMs: number,
  ): Promise<EndpointSecret | undefined> {
    const { rows } = await this.on.query<EndpointSecret>(
      `WITH ${this.changed()},
       gone AS (
         DELETE FROM ${this.schema}.webhook_secrets s USING changed WHERE s.endpoint_id = changed.id AND s.expires_at <= statement_timestamp()),
       old AS (
         UPDATE ${this.schema}.webhook_secrets s SET expires_at = least(s.expires_at, clock_timestamp() + make_interval(secs => $6::float8 / 1000))
           FROM changed WHERE s.endpoint_id = changed.id AND s.kind = $7 AND (s.expires_at IS NULL OR s.expires_at > statement_timestamp()))
       INSERT INTO ${this.schema}.webhook_secrets (endpoint_id, id, kind, public_key, key_id, sealed, created_at)
       SELECT changed.id, $3::uuid, $7, $8, $4, $5::bytea, clock_timestamp() FROM changed
       RETURNING id, kind, public_key AS "publicKey", created_at AS "createdAt", expires_at AS "expiresAt"`,
      [endpointId, version, id, keyId, sealed, expireOldMs, kind, publicKey],
    );
    return rows[0];
  }

  /** False: the version is another by now. */
  async revoke(endpointId: string, version: number, secretId: string): Promise<boolean> {
    const { rowCount } = await this.on.query(
      `WITH ${this.changed()}
       DELETE FROM ${this.schema}.webhook_secrets s USING changed WHERE s.endpoint_id = changed.id AND s.id = $3 RETURNING s.id`,
      [endpointId, version, secretId],
    );
    return rowCount > 0;
  }

  private changed(): string {
    return `changed AS (
         UPDATE ${this.schema}.webhook_endpoints SET version = version + 1, updated_at = clock_timestamp()
          WHERE id = $1 AND version = $2 AND state <> 'deleted' RETURNING id)`;
  }
}
