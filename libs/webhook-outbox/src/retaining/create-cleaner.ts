import type { TimeoutRegistry } from '@nest-baton/core';
import type { DeliveryReporter } from '../operating/delivery-reporter.js';
import type { OutboxDatabase } from '../schema/outbox-database.js';
import type { ResolvedWebhookOutboxOptions } from '../webhook-outbox.options.js';
import { Cleaner } from './cleaner.js';
import { EndpointRemains } from './endpoint-remains.js';
import { RetentionStore } from './retention-store.js';

export interface CleanerParts {
  readonly name: string;
  readonly options: ResolvedWebhookOutboxOptions;
  readonly database: OutboxDatabase;
  readonly reporter: DeliveryReporter;
  readonly registry: TimeoutRegistry | undefined;
}

/** The cleanup of an instance; a process that only produces leaves it to others. */
export function createCleaner({ name, options, database, reporter, registry }: CleanerParts): Cleaner {
  const { retention, role, cleanupIntervalMs } = options;
  return new Cleaner({
    name,
    store: new RetentionStore(database, database.schema, retention),
    remains: new EndpointRemains(database, database.schema, retention),
    intervalMs: role === 'producer' ? 0 : cleanupIntervalMs,
    registry,
    hooks: reporter.cleanup,
  });
}
