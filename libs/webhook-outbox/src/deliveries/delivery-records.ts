import type { Queryable } from '@nest-baton/core';
import type { DeliveryAttempt } from '../schema/entities.js';
import { webhookIdOf } from '../signing/signature.js';
import { type CheckedFilter, type CheckedPage, filterSql } from './delivery-filter.js';
import type { StoredDelivery } from './stored-delivery.js';

export type DeliveryRow = Omit<StoredDelivery, 'webhookId'>;

/** Of deliveries `d` and their events `e`. */
export const DELIVERY_COLUMNS = `d.id, d.event_id AS "outboxId", e.dedupe_key AS "eventId", e.type, e.tenant, d.endpoint_id AS "endpointId", d.state,
              CASE WHEN d.line_id IS NOT NULL THEN e.order_key END AS "orderKey", 
              d.attempts, d.last_outcome AS outcome, d.reason, d.last_status AS status, d.last_error AS error, d.next_at AS "nextAt",
              d.lease_until AS "leaseUntil", d.created_at AS "createdAt", d.settled_at AS "settledAt"`;

/** Of the history of one delivery, the newest so many. */
const MOST_ATTEMPTS = 1_000;

/** The statements that read deliveries for people. None of them locks anything. */
export class DeliveryRecords {
  constructor(
    private readonly on: Queryable,
    private readonly schema: string,
  ) {}

  /** Newest first, one more than the page when there are more. */
  async list(filter: CheckedFilter, { limit, before }: CheckedPage): Promise<readonly StoredDelivery[]> {
    const { condition, values } = filterSql(filter, this.schema, 3);
    const { rows } = await this.on.query<DeliveryRow>(
      `SELECT ${DELIVERY_COLUMNS} FROM ${this.schema}.webhook_deliveries d JOIN ${this.schema}.webhook_events e ON e.id = d.event_id
        WHERE d.id < $1::bigint AND ${condition} ORDER BY d.id DESC LIMIT $2`,
      [before, limit + 1, ...values],
    );
    return rows.map(storedDelivery);
  }

  /** `tenant` undefined: of any. */
  async find(id: string, tenant: string | undefined): Promise<StoredDelivery | undefined> {
    const { rows } = await this.on.query<DeliveryRow>(
      `SELECT ${DELIVERY_COLUMNS} FROM ${this.schema}.webhook_deliveries d JOIN ${this.schema}.webhook_events e ON e.id = d.event_id
        WHERE d.id = $1::bigint AND ($2::text IS NULL OR e.tenant = $2)`,
      [id, tenant ?? null],
    );
    return rows.map(storedDelivery)[0];
  }

  /** Oldest first. */
  async attempts(id: string): Promise<readonly DeliveryAttempt[]> {
    const { rows } = await this.on.query<DeliveryAttempt>(
      `SELECT id, delivery_id AS "deliveryId", attempt, started_at AS "startedAt", duration_ms AS "durationMs", outcome, reason, status, error,
              is_late AS "isLate"
         FROM ${this.schema}.webhook_attempts WHERE delivery_id = $1::bigint ORDER BY id DESC LIMIT ${MOST_ATTEMPTS}`,
      [id],
    );
    return rows.reverse();
  }
}

export function storedDelivery(row: DeliveryRow): StoredDelivery {
  return { ...row, webhookId: webhookIdOf(row.outboxId, row.endpointId) };
}
