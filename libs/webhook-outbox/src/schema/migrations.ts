import type { Migration } from '@nest-baton/core';

/**
 * - Payloads live in `webhook_events`, once, and are never rewritten; `webhook_deliveries` is narrow, since each step rewrites its row.
 * - No foreign keys from deliveries: each would lock the endpoint's and the event's row with every insert.
 * - No defaults: the statements write every column, so the tables and the entities cannot drift apart in them.
 * - `webhook_attempts` is only added to. What an endpoint does wrong is in `webhook_endpoint_states`, away from the endpoint's own row, and one that
 *   does nothing wrong has no row there, unless it has a limit that all processes share. `webhook_hand_offs` has rows only while an event waits to be
 *   handed on (`sweep`) or for the rest of its deliveries (`fan-out`: made for the endpoints up to `endpoints_until`).
 * - `webhook_lines` counts the events of each key for each endpoint with `order: 'strict'`. Whoever appends holds the row to the end of its transaction, so
 *   places are in the order of commits; nobody else locks it but what removes it. That one delivery of a line at most is `ready` or `leased` is the
 *   unique index's to say.
 * - Deliveries are rewritten three times each, so vacuum goes by number of dead rows and not by a fraction of a table that keeps its history.
 */
export const MIGRATIONS: readonly Migration[] = [
  {
    name: '0001-events-deliveries-endpoints',
    statements: (schema) => [...endpoints(schema), ...events(schema), ...lines(schema), ...deliveries(schema)],
  },
];

/** States that somebody may want to look at or to replay; a delivery that succeeds never has an entry in their index. */
const GIVEN_UP = `'failed', 'dead', 'abandoned', 'parked', 'expired'`;

function endpoints(schema: string): string[] {
  return [
    `CREATE TABLE ${schema}.webhook_endpoints (
       id uuid PRIMARY KEY,
       tenant text NOT NULL,
       url text NOT NULL,
       types text[] NOT NULL,
       header_names text[] NOT NULL,
       headers_key_id text,
       headers_sealed bytea,
       legacy_signature jsonb,
       legacy_key_id text,
       legacy_sealed bytea,
       schedule_ms double precision[],
       max_in_flight integer,
       rate_per_second double precision,
       rate_burst integer,
       global_max_in_flight integer,
       order_mode text,
       on_dead text,
       state text NOT NULL,
       disabled_reason text,
       version integer NOT NULL,
       created_at timestamptz NOT NULL,
       updated_at timestamptz NOT NULL)`,
    `CREATE INDEX webhook_endpoints_tenant ON ${schema}.webhook_endpoints (tenant, id)`,
    `CREATE INDEX webhook_endpoints_off ON ${schema}.webhook_endpoints (id) WHERE state <> 'active'`,
    `CREATE INDEX webhook_endpoints_limited ON ${schema}.webhook_endpoints (id) WHERE (rate_per_second IS NOT NULL OR global_max_in_flight IS NOT NULL)`,
    `CREATE INDEX webhook_endpoints_strict ON ${schema}.webhook_endpoints (tenant, id) WHERE order_mode = 'strict'`,
    `CREATE TABLE ${schema}.webhook_secrets (
       endpoint_id uuid NOT NULL,
       id uuid NOT NULL,
       kind text NOT NULL,
       public_key text,
       key_id text NOT NULL,
       sealed bytea NOT NULL,
       created_at timestamptz NOT NULL,
       expires_at timestamptz,
       PRIMARY KEY (endpoint_id, id))`,
    `CREATE INDEX webhook_secrets_expiring ON ${schema}.webhook_secrets (expires_at) WHERE expires_at IS NOT NULL`,
    `CREATE TABLE ${schema}.webhook_endpoint_states (
       endpoint_id uuid PRIMARY KEY,
       breaker text NOT NULL,
       open_until timestamptz,
       probe_until timestamptz,
       failures integer NOT NULL,
       failing_since timestamptz,
       failing_events integer NOT NULL,
       paused_until timestamptz,
       warned_at timestamptz,
       tokens double precision,
       tokens_at timestamptz,
       slot_ids bigint[],
       slot_fences bigint[])`,
    `CREATE INDEX webhook_endpoint_states_open ON ${schema}.webhook_endpoint_states (open_until) WHERE breaker = 'open'`,
  ];
}

function events(schema: string): string[] {
  return [
    `CREATE TABLE ${schema}.webhook_events (
       id uuid PRIMARY KEY,
       tenant text NOT NULL,
       dedupe_key text NOT NULL,
       type text NOT NULL,
       body text NOT NULL,
       content_hash bytea NOT NULL,
       order_key text,
       trace text,
       created_at timestamptz NOT NULL)`,
    `CREATE UNIQUE INDEX webhook_events_dedupe ON ${schema}.webhook_events (tenant, dedupe_key)`,
    `CREATE TABLE ${schema}.webhook_hand_offs (
       event_id uuid PRIMARY KEY,
       kind text NOT NULL,
       next_at timestamptz NOT NULL,
       lease_until timestamptz,
       fence bigint NOT NULL,
       count integer NOT NULL,
       endpoints_until uuid)`,
    `CREATE INDEX webhook_hand_offs_sweep ON ${schema}.webhook_hand_offs (next_at) WHERE kind = 'sweep'`,
    `CREATE INDEX webhook_hand_offs_fan_out ON ${schema}.webhook_hand_offs (next_at) WHERE kind = 'fan-out'`,
  ];
}

function lines(schema: string): string[] {
  return [
    `CREATE TABLE ${schema}.webhook_lines (
       id bigserial PRIMARY KEY,
       endpoint_id uuid NOT NULL,
       order_key text NOT NULL,
       last_seq bigint NOT NULL)
     WITH (fillfactor = 70)`,
    `CREATE UNIQUE INDEX webhook_lines_key ON ${schema}.webhook_lines (endpoint_id, order_key)`,
  ];
}

function deliveries(schema: string): string[] {
  return [
    `CREATE TABLE ${schema}.webhook_deliveries (
       id bigserial PRIMARY KEY,
       event_id uuid NOT NULL,
       endpoint_id uuid NOT NULL,
       state text NOT NULL,
       next_at timestamptz NOT NULL,
       lease_until timestamptz,
       fence bigint NOT NULL,
       attempts integer NOT NULL,
       started_at timestamptz,
       lease_losses integer NOT NULL,
       last_outcome text,
       reason text,
       last_status integer,
       last_error text,
       line_id bigint,
       seq bigint,
       created_at timestamptz NOT NULL,
       settled_at timestamptz)
     WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0)`,
    `CREATE UNIQUE INDEX webhook_deliveries_pair ON ${schema}.webhook_deliveries (event_id, endpoint_id)`,
    `CREATE INDEX webhook_deliveries_due ON ${schema}.webhook_deliveries (endpoint_id, next_at, id) WHERE state = 'ready'`,
    `CREATE INDEX webhook_deliveries_leased ON ${schema}.webhook_deliveries (lease_until) WHERE state = 'leased'`,
    `CREATE INDEX webhook_deliveries_suspect ON ${schema}.webhook_deliveries (next_at) WHERE state = 'ready' AND lease_losses >= 2`,
    `CREATE INDEX webhook_deliveries_given_up ON ${schema}.webhook_deliveries (endpoint_id, id) WHERE state IN (${GIVEN_UP})`,
    `CREATE INDEX webhook_deliveries_parked ON ${schema}.webhook_deliveries (endpoint_id, id) WHERE state = 'parked'`,
    `CREATE INDEX webhook_deliveries_settled ON ${schema}.webhook_deliveries (state, settled_at) WHERE settled_at IS NOT NULL`,
    `CREATE UNIQUE INDEX webhook_deliveries_turn ON ${schema}.webhook_deliveries (line_id) WHERE line_id IS NOT NULL AND state IN ('ready', 'leased')`,
    `CREATE INDEX webhook_deliveries_line ON ${schema}.webhook_deliveries (line_id, state, seq) WHERE line_id IS NOT NULL`,
    `CREATE INDEX webhook_deliveries_queued ON ${schema}.webhook_deliveries (endpoint_id, line_id) WHERE state = 'queued'`,
    `CREATE TABLE ${schema}.webhook_attempts (
       id bigserial NOT NULL,
       delivery_id bigint NOT NULL,
       attempt integer NOT NULL,
       started_at timestamptz NOT NULL,
       duration_ms integer,
       outcome text NOT NULL,
       reason text,
       status integer,
       error text,
       is_late boolean NOT NULL,
       PRIMARY KEY (delivery_id, id))`,
  ];
}
