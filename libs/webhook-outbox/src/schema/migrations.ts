import type { Migration } from '@nest-baton/core';

/**
 * - Payloads live in `webhook_events`, once, and are never rewritten; `webhook_deliveries` is narrow, since each step rewrites its row.
 * - No foreign keys from deliveries: each would lock the endpoint's and the event's row with every insert.
 * - No defaults: the statements write every column, so the tables and the entities cannot drift apart in them.
 * - Deliveries are rewritten three times each, so vacuum goes by number of dead rows and not by a fraction of a table that keeps its history.
 */
export const MIGRATIONS: readonly Migration[] = [
  {
    name: '0001-events-deliveries-endpoints',
    statements: (schema) => [
      `CREATE TABLE ${schema}.webhook_endpoints (
         id uuid PRIMARY KEY,
         tenant text NOT NULL,
         url text NOT NULL,
         types text[] NOT NULL,
         headers jsonb NOT NULL,
         state text NOT NULL,
         version integer NOT NULL,
         secret_key_id text NOT NULL,
         secret_sealed bytea NOT NULL,
         created_at timestamptz NOT NULL)`,
      `CREATE INDEX webhook_endpoints_tenant ON ${schema}.webhook_endpoints (tenant)`,
      `CREATE TABLE ${schema}.webhook_events (
         id uuid PRIMARY KEY,
         tenant text NOT NULL,
         dedupe_key text NOT NULL,
         type text NOT NULL,
         body text NOT NULL,
         content_hash bytea NOT NULL,
         created_at timestamptz NOT NULL)`,
      `CREATE UNIQUE INDEX webhook_events_dedupe ON ${schema}.webhook_events (tenant, dedupe_key)`,
      `CREATE TABLE ${schema}.webhook_deliveries (
         id bigserial PRIMARY KEY,
         event_id uuid NOT NULL,
         endpoint_id uuid NOT NULL,
         state text NOT NULL,
         next_at timestamptz NOT NULL,
         lease_until timestamptz,
         fence bigint NOT NULL,
         attempts integer NOT NULL,
         lease_losses integer NOT NULL,
         last_outcome text,
         reason text,
         last_status integer,
         last_error text,
         created_at timestamptz NOT NULL,
         settled_at timestamptz)
       WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0)`,
      `CREATE UNIQUE INDEX webhook_deliveries_pair ON ${schema}.webhook_deliveries (event_id, endpoint_id)`,
      `CREATE INDEX webhook_deliveries_due ON ${schema}.webhook_deliveries (endpoint_id, next_at, id) WHERE state = 'ready'`,
      `CREATE INDEX webhook_deliveries_leased ON ${schema}.webhook_deliveries (lease_until) WHERE state = 'leased'`,
      `CREATE INDEX webhook_deliveries_suspect ON ${schema}.webhook_deliveries (next_at) WHERE state = 'ready' AND lease_losses >= 2`,
    ],
  },
];
