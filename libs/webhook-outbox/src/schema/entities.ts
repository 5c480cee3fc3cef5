import { EntitySchema } from 'typeorm';
import type {
  AttemptOutcome,
  AttemptReason,
  DeliveryReason,
  DeliveryState,
  PutAsideReason,
} from '../delivering/delivery.js';
import { integer, nullable, text, timestamp, uuid } from './entity-columns.js';
import { endpointSchema, endpointStateSchema, secretSchema } from './endpoint-entities.js';
import { handOffSchema } from './hand-off-entity.js';
import { lineSchema } from './line-entity.js';

/** What was sent, once for all its deliveries. Read-only: the module writes it by SQL. */
export class OutboxEvent {
  id: string;
  tenant: string;
  /** The caller's id; unique in the tenant. */
  dedupeKey: string;
  type: string;
  /** The bytes of each request: `{"type","timestamp","data"}`. */
  body: string;
  /** SHA-256 of type and data, to tell a repetition from a conflict. */
  contentHash: Buffer;
  /** Endpoints with `order: 'strict'` get the events of a key in the order of their commits. */
  orderKey: string | null;
  /** The W3C `traceparent` of the call that sent it. */
  trace: string | null;
  createdAt: Date;
}

/** One event for one endpoint: narrow, since it is rewritten with each step. Read-only: every write of the module is fenced. */
export class OutboxDelivery {
  /** `bigint`, as text. */
  id: string;
  eventId: string;
  endpointId: string;
  state: DeliveryState;
  nextAt: Date;
  leaseUntil: Date | null;
  /** `bigint`, as text; grows with each claim. */
  fence: string;
  /** Requests started. */
  attempts: number;
  /** Of the request that was started under the last claim, if one was. */
  startedAt: Date | null;
  /** Claims since the last recorded outcome whose owner was gone. */
  leaseLosses: number;
  lastOutcome: AttemptOutcome | null;
  reason: DeliveryReason | PutAsideReason | null;
  lastStatus: number | null;
  lastError: string | null;
  /** Of one that has its turn: the `OutboxLine` in which it stands; `bigint`, as text. */
  lineId: string | null;
  /** Its place there; `bigint`, as text. */
  seq: string | null;
  createdAt: Date;
  settledAt: Date | null;
}

/** One request of a delivery and what it came to; rows are only added. Read-only: written together with the outcome. */
export class DeliveryAttempt {
  /** `bigint`, as text; later outcomes have higher ids. */
  id: string;
  deliveryId: string;
  /** From 1 in each round of the schedule. */
  attempt: number;
  startedAt: Date;
  /** `null` when nobody lived to see the end. */
  durationMs: number | null;
  outcome: AttemptOutcome;
  reason: AttemptReason | null;
  status: number | null;
  error: string | null;
  /** Its lease had ended before it was written: a row of the same request with the outcome `unknown` may be there too. */
  isLate: boolean;
}

/**
 * The tables as entities for the user's `DataSource`: for reading, in repositories and joins. `synchronize: false`, so a user's
 * `synchronize: true` never alters what the migrations made.
 */
export function webhookOutboxEntities(options: { readonly schema?: string } = {}): EntitySchema[] {
  const { schema = 'baton' } = options;
  return [
    eventSchema(schema),
    deliverySchema(schema),
    attemptSchema(schema),
    endpointSchema(schema),
    endpointStateSchema(schema),
    secretSchema(schema),
    handOffSchema(schema),
    lineSchema(schema),
  ];
}

function eventSchema(schema: string): EntitySchema<OutboxEvent> {
  return new EntitySchema<OutboxEvent>({
    name: 'OutboxEvent',
    target: OutboxEvent,
    schema,
    tableName: 'webhook_events',
    synchronize: false,
    columns: {
      id: { ...uuid('id'), primary: true },
      tenant: text('tenant'),
      dedupeKey: text('dedupe_key'),
      type: text('type'),
      body: text('body'),
      contentHash: { name: 'content_hash', type: 'bytea' },
      orderKey: nullable(text('order_key')),
      trace: nullable(text('trace')),
      createdAt: timestamp('created_at'),
    },
    indices: [{ name: 'webhook_events_dedupe', columns: ['tenant', 'dedupeKey'], unique: true }],
  });
}

function deliverySchema(schema: string): EntitySchema<OutboxDelivery> {
  return new EntitySchema<OutboxDelivery>({
    name: 'OutboxDelivery',
    target: OutboxDelivery,
    schema,
    tableName: 'webhook_deliveries',
    synchronize: false,
    columns: {
      id: { name: 'id', type: 'bigint', primary: true, generated: 'increment' },
      eventId: uuid('event_id'),
      endpointId: uuid('endpoint_id'),
      state: text('state'),
      nextAt: timestamp('next_at'),
      leaseUntil: nullable(timestamp('lease_until')),
      fence: { name: 'fence', type: 'bigint' },
      attempts: integer('attempts'),
      startedAt: nullable(timestamp('started_at')),
      leaseLosses: integer('lease_losses'),
      lastOutcome: nullable(text('last_outcome')),
      reason: nullable(text('reason')),
      lastStatus: nullable(integer('last_status')),
      lastError: nullable(text('last_error')),
      lineId: nullable({ name: 'line_id', type: 'bigint' }),
      seq: nullable({ name: 'seq', type: 'bigint' }),
      createdAt: timestamp('created_at'),
      settledAt: nullable(timestamp('settled_at')),
    },
    indices: [
      { name: 'webhook_deliveries_pair', columns: ['eventId', 'endpointId'], unique: true },
      { name: 'webhook_deliveries_due', columns: ['endpointId', 'nextAt', 'id'], where: `state = 'ready'` },
      { name: 'webhook_deliveries_leased', columns: ['leaseUntil'], where: `state = 'leased'` },
      {
        name: 'webhook_deliveries_given_up',
        columns: ['endpointId', 'id'],
        where: `state IN ('failed', 'dead', 'abandoned', 'parked', 'expired')`,
      },
      { name: 'webhook_deliveries_parked', columns: ['endpointId', 'id'], where: `state = 'parked'` },
      { name: 'webhook_deliveries_settled', columns: ['state', 'settledAt'], where: 'settled_at IS NOT NULL' },
      { name: 'webhook_deliveries_suspect', columns: ['nextAt'], where: `state = 'ready' AND lease_losses >= 2` },
      {
        name: 'webhook_deliveries_turn',
        columns: ['lineId'],
        unique: true,
        where: `line_id IS NOT NULL AND state IN ('ready', 'leased')`,
      },
      { name: 'webhook_deliveries_line', columns: ['lineId', 'state', 'seq'], where: 'line_id IS NOT NULL' },
      { name: 'webhook_deliveries_queued', columns: ['endpointId', 'lineId'], where: `state = 'queued'` },
    ],
  });
}

function attemptSchema(schema: string): EntitySchema<DeliveryAttempt> {
  return new EntitySchema<DeliveryAttempt>({
    name: 'DeliveryAttempt',
    target: DeliveryAttempt,
    schema,
    tableName: 'webhook_attempts',
    synchronize: false,
    columns: {
      id: { name: 'id', type: 'bigint', primary: true, generated: 'increment' },
      // Both: whoever reads attempts asks for those of a delivery, and an index of the ids alone would be written with each for nobody.
      deliveryId: { name: 'delivery_id', type: 'bigint', primary: true },
      attempt: integer('attempt'),
      startedAt: timestamp('started_at'),
      durationMs: nullable(integer('duration_ms')),
      outcome: text('outcome'),
      reason: nullable(text('reason')),
      status: nullable(integer('status')),
      error: nullable(text('error')),
      isLate: { name: 'is_late', type: 'boolean' },
    },
  });
}
