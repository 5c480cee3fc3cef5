import { EntitySchema } from 'typeorm';
import { integer, nullable, text, timestamp, uuid } from './entity-columns.js';

/** What an endpoint has done wrong lately; one that has done nothing wrong has no row. Read-only, as all of them. */
export class EndpointState {
  endpointId: string;
  breaker: 'closed' | 'open';
  openUntil: Date | null;
  /** The lease of the one request that is let through an open breaker. */
  probeUntil: Date | null;
  /** In a row. */
  failures: number;
  /** Since when nothing but failures. */
  failingSince: Date | null;
  /** Different events among them. */
  failingEvents: number;
  /** It asked to be left alone until then. */
  pausedUntil: Date | null;
  /** When it was announced that it will be disabled. */
  warnedAt: Date | null;
  /** What was left in the bucket of its rate. */
  tokens: number | null;
  /** When that was so. */
  tokensAt: Date | null;
  /** Deliveries that have taken a slot of `globalMaxInFlight`, as `bigint`, as text; some of them may be over. */
  slotIds: string[] | null;
  /** The fences of their claims. */
  slotFences: string[] | null;
}

/** Where events go. Read-only: made by `WebhookEndpointsService`. */
export class WebhookEndpoint {
  id: string;
  tenant: string;
  url: string;
  types: string[];
  headerNames: string[];
  headersKeyId: string | null;
  /** AES-256-GCM under the key named; `null` without headers. */
  headersSealed: Buffer | null;
  /** Which headers it has; `null` without. */
  legacySignature: object | null;
  legacyKeyId: string | null;
  /** As `headersSealed`: the same with its secret. */
  legacySealed: Buffer | null;
  /** Instead of the module's; `null`: the module's. */
  scheduleMs: number[] | null;
  /** Instead of the module's; `null`: the module's. */
  maxInFlight: number | null;
  /** Requests a second, of all processes together; `null`: as many as there are. */
  ratePerSecond: number | null;
  rateBurst: number | null;
  /** Deliveries that all processes together may have claimed; `null`: as many as there are. */
  globalMaxInFlight: number | null;
  /** `null`: none. */
  orderMode: 'strict' | null;
  /** What one that was given up means for those behind it; `null` without an order. */
  onDead: 'halt' | 'skip' | null;
  state: 'active' | 'disabled' | 'deleted';
  /** `gone`: it answered 410; `failing`: nothing but failures for `disableAfter`; `requested`: by a call. */
  disabledReason: string | null;
  /** Raised with each change; the key under which an opened secret is kept in memory. */
  version: number;
  createdAt: Date;
  updatedAt: Date;
}

/** What an endpoint's requests are signed with: all that have not expired. Read-only: made by `WebhookEndpointsService`. */
export class WebhookSecret {
  endpointId: string;
  id: string;
  /** Of the signatures that are made with it. */
  kind: 'v1' | 'v1a';
  /** `whpk_...`; `null` of `v1`, which has none. */
  publicKey: string | null;
  keyId: string;
  /** AES-256-GCM under the key named; never the secret itself. */
  sealed: Buffer;
  createdAt: Date;
  expiresAt: Date | null;
}

export function endpointStateSchema(schema: string): EntitySchema<EndpointState> {
  return new EntitySchema<EndpointState>({
    name: 'EndpointState',
    target: EndpointState,
    schema,
    tableName: 'webhook_endpoint_states',
    synchronize: false,
    columns: {
      endpointId: { ...uuid('endpoint_id'), primary: true },
      breaker: text('breaker'),
      openUntil: nullable(timestamp('open_until')),
      probeUntil: nullable(timestamp('probe_until')),
      failures: integer('failures'),
      failingSince: nullable(timestamp('failing_since')),
      failingEvents: integer('failing_events'),
      pausedUntil: nullable(timestamp('paused_until')),
      warnedAt: nullable(timestamp('warned_at')),
      tokens: nullable({ name: 'tokens', type: 'double precision' }),
      tokensAt: nullable(timestamp('tokens_at')),
      slotIds: { name: 'slot_ids', type: 'bigint', array: true, nullable: true },
      slotFences: { name: 'slot_fences', type: 'bigint', array: true, nullable: true },
    },
    indices: [{ name: 'webhook_endpoint_states_open', columns: ['openUntil'], where: `breaker = 'open'` }],
  });
}

export function endpointSchema(schema: string): EntitySchema<WebhookEndpoint> {
  return new EntitySchema<WebhookEndpoint>({
    name: 'WebhookEndpoint',
    target: WebhookEndpoint,
    schema,
    tableName: 'webhook_endpoints',
    synchronize: false,
    columns: {
      id: { ...uuid('id'), primary: true },
      tenant: text('tenant'),
      url: text('url'),
      types: { ...text('types'), array: true },
      headerNames: { ...text('header_names'), array: true },
      headersKeyId: nullable(text('headers_key_id')),
      headersSealed: nullable({ name: 'headers_sealed', type: 'bytea' }),
      legacySignature: nullable({ name: 'legacy_signature', type: 'jsonb' }),
      legacyKeyId: nullable(text('legacy_key_id')),
      legacySealed: nullable({ name: 'legacy_sealed', type: 'bytea' }),
      scheduleMs: { name: 'schedule_ms', type: 'double precision', array: true, nullable: true },
      maxInFlight: nullable(integer('max_in_flight')),
      ratePerSecond: nullable({ name: 'rate_per_second', type: 'double precision' }),
      rateBurst: nullable(integer('rate_burst')),
      globalMaxInFlight: nullable(integer('global_max_in_flight')),
      orderMode: nullable(text('order_mode')),
      onDead: nullable(text('on_dead')),
      state: text('state'),
      disabledReason: nullable(text('disabled_reason')),
      version: integer('version'),
      createdAt: timestamp('created_at'),
      updatedAt: timestamp('updated_at'),
    },
    indices: [
      { name: 'webhook_endpoints_tenant', columns: ['tenant', 'id'] },
      {
        name: 'webhook_endpoints_limited',
        columns: ['id'],
        where: '(rate_per_second IS NOT NULL OR global_max_in_flight IS NOT NULL)',
      },
      { name: 'webhook_endpoints_strict', columns: ['tenant', 'id'], where: `order_mode = 'strict'` },
      { name: 'webhook_endpoints_off', columns: ['id'], where: `state <> 'active'` },
    ],
  });
}

export function secretSchema(schema: string): EntitySchema<WebhookSecret> {
  return new EntitySchema<WebhookSecret>({
    name: 'WebhookSecret',
    target: WebhookSecret,
    schema,
    tableName: 'webhook_secrets',
    synchronize: false,
    columns: {
      endpointId: { ...uuid('endpoint_id'), primary: true },
      id: { ...uuid('id'), primary: true },
      kind: text('kind'),
      publicKey: nullable(text('public_key')),
      keyId: text('key_id'),
      sealed: { name: 'sealed', type: 'bytea' },
      createdAt: timestamp('created_at'),
      expiresAt: nullable(timestamp('expires_at')),
    },
    indices: [{ name: 'webhook_secrets_expiring', columns: ['expiresAt'], where: 'expires_at IS NOT NULL' }],
  });
}
