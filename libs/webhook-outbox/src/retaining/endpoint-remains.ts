import type { Queryable } from '@nest-baton/core';
import type { ResolvedRetention } from './retention.options.js';
import { ago } from './retention-store.js';

/** A producer's transaction that began before an endpoint was deleted may be open for so long, and commit a delivery for it. */
const LATEST_COMMIT = '1 d';

/** States in which a delivery has an entry in the index of what was given up. */
const GIVEN_UP = `'failed', 'dead', 'abandoned', 'parked', 'expired'`;

/** The statements that remove what nobody needs of endpoints any more, a batch each; each skips what another has locked. */
export class EndpointRemains {
  constructor(
    private readonly on: Queryable,
    private readonly schema: string,
    private readonly retention: Pick<ResolvedRetention, 'delivered'>,
  ) {}

  /**
   * Endpoints that were deleted and of which no delivery is left, with whatever else there is of them; returns how many.
   *
   * What was delivered has no index by endpoint: whatever was before a day after the deletion has been kept long enough by now, and is looked for
   * among what the cleanup has still to remove.
   */
  async removeDeleted(limit: number): Promise<number> {
    const has = (condition: string): string =>
      `EXISTS (SELECT FROM ${this.schema}.webhook_deliveries d WHERE d.endpoint_id = e.id AND ${condition})`;
    const { rowCount } = await this.on.query(
      `WITH gone AS MATERIALIZED (
         SELECT e.id FROM ${this.schema}.webhook_endpoints e
          WHERE e.state = 'deleted' AND e.updated_at <= ${ago('$2')} - interval '${LATEST_COMMIT}'
            AND NOT ${has(`d.state = 'queued'`)} AND NOT ${has(`d.state = 'ready'`)} AND NOT ${has(`d.state IN (${GIVEN_UP})`)} AND NOT ${has(`d.state = 'leased'`)}
            AND NOT ${has(`d.state = 'delivered' AND d.settled_at <= e.updated_at + interval '${LATEST_COMMIT}'`)}
          ORDER BY e.id LIMIT $1 FOR UPDATE SKIP LOCKED
       ), state AS (
         DELETE FROM ${this.schema}.webhook_endpoint_states s USING gone WHERE s.endpoint_id = gone.id
       ), secret AS (
         DELETE FROM ${this.schema}.webhook_secrets s USING gone WHERE s.endpoint_id = gone.id)
       DELETE FROM ${this.schema}.webhook_endpoints e USING gone WHERE e.id = gone.id RETURNING e.id`,
      [limit, this.retention.delivered],
    );
    return rowCount;
  }

  /** Secrets that sign nothing any more; returns how many. The endpoint's version stays: nobody reads them. */
  async removeExpiredSecrets(limit: number): Promise<number> {
    const { rowCount } = await this.on.query(
      `WITH over AS MATERIALIZED (
         SELECT s.endpoint_id, s.id FROM ${this.schema}.webhook_secrets s WHERE s.expires_at <= statement_timestamp()
          ORDER BY s.endpoint_id, s.id LIMIT $1 FOR UPDATE SKIP LOCKED)
       DELETE FROM ${this.schema}.webhook_secrets s USING over
        WHERE s.endpoint_id = over.endpoint_id AND s.id = over.id RETURNING s.id`,
      [limit],
    );
    return rowCount;
  }
}
