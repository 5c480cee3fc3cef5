import { type Environment, type EnvironmentVariable, OptionsInvalidError, readEnvironment } from '@nest-baton/core';
import type { WebhookKey, WebhookOutboxOptions } from '../webhook-outbox.options.js';

/** The variables that set options; `onDead` is code and has none. */
export const WEBHOOK_OUTBOX_ENVIRONMENT: readonly EnvironmentVariable[] = [
  { variable: 'BATON_WEBHOOK_OUTBOX_ROLE', option: 'role', kind: 'string' },
  { variable: 'BATON_WEBHOOK_OUTBOX_DISPATCH', option: 'dispatch', kind: 'string' },
  { variable: 'BATON_WEBHOOK_OUTBOX_HAND_OFF_GRACE', option: 'handOffGrace', kind: 'duration' },
  { variable: 'BATON_WEBHOOK_OUTBOX_KEYS', option: 'keys', kind: 'list' },
  { variable: 'BATON_WEBHOOK_OUTBOX_SCHEMA', option: 'schema', kind: 'string' },
  { variable: 'BATON_WEBHOOK_OUTBOX_MIGRATIONS', option: 'migrations', kind: 'string' },
  { variable: 'BATON_WEBHOOK_OUTBOX_HINTS', option: 'hints', kind: 'string' },
  { variable: 'BATON_WEBHOOK_OUTBOX_ON_PERSIST_FAILURE', option: 'onPersistFailure', kind: 'string' },
  { variable: 'BATON_WEBHOOK_OUTBOX_LISTEN_CONNECTION_STRING', option: 'listenConnectionString', kind: 'string' },
  { variable: 'BATON_WEBHOOK_OUTBOX_POLL_INTERVAL', option: 'pollInterval', kind: 'duration' },
  { variable: 'BATON_WEBHOOK_OUTBOX_LEASE', option: 'lease', kind: 'duration' },
  { variable: 'BATON_WEBHOOK_OUTBOX_REQUEST_TIMEOUT', option: 'requestTimeout', kind: 'duration' },
  { variable: 'BATON_WEBHOOK_OUTBOX_BATCH_SIZE', option: 'batchSize', kind: 'integer' },
  { variable: 'BATON_WEBHOOK_OUTBOX_MAX_IN_FLIGHT', option: 'maxInFlight', kind: 'integer' },
  { variable: 'BATON_WEBHOOK_OUTBOX_MAX_PAYLOAD_BYTES', option: 'maxPayloadBytes', kind: 'integer' },
  { variable: 'BATON_WEBHOOK_OUTBOX_MAX_RESPONSE_BYTES', option: 'maxResponseBytes', kind: 'integer' },
  { variable: 'BATON_WEBHOOK_OUTBOX_RETRY_AFTER_CAP', option: 'retryAfterCap', kind: 'duration' },
  { variable: 'BATON_WEBHOOK_OUTBOX_SCHEDULE', option: 'schedule', kind: 'list' },
  { variable: 'BATON_WEBHOOK_OUTBOX_BREAKER_FAILURES', option: 'breakerFailures', kind: 'integer' },
  { variable: 'BATON_WEBHOOK_OUTBOX_BREAKER_PAUSE', option: 'breakerPause', kind: 'duration' },
  { variable: 'BATON_WEBHOOK_OUTBOX_DISABLE_AFTER', option: 'disableAfter', kind: 'duration' },
  { variable: 'BATON_WEBHOOK_OUTBOX_ALLOW_HTTP', option: 'allowHttp', kind: 'boolean' },
  { variable: 'BATON_WEBHOOK_OUTBOX_ALLOW_ADDRESSES', option: 'allowAddresses', kind: 'list' },
  { variable: 'BATON_WEBHOOK_OUTBOX_RETENTION_DELIVERED', option: 'retention.delivered', kind: 'duration' },
  { variable: 'BATON_WEBHOOK_OUTBOX_RETENTION_FAILED', option: 'retention.failed', kind: 'duration' },
  { variable: 'BATON_WEBHOOK_OUTBOX_RETENTION_DEAD', option: 'retention.dead', kind: 'duration' },
  { variable: 'BATON_WEBHOOK_OUTBOX_RETENTION_ABANDONED', option: 'retention.abandoned', kind: 'duration' },
  { variable: 'BATON_WEBHOOK_OUTBOX_RETENTION_PARKED', option: 'retention.parked', kind: 'duration' },
  { variable: 'BATON_WEBHOOK_OUTBOX_RETENTION_EXPIRED', option: 'retention.expired', kind: 'duration' },
  { variable: 'BATON_WEBHOOK_OUTBOX_CLEANUP_INTERVAL', option: 'cleanupInterval', kind: 'duration' },
  { variable: 'BATON_WEBHOOK_OUTBOX_MAX_ENDPOINTS_PER_TENANT', option: 'maxEndpointsPerTenant', kind: 'integer' },
  { variable: 'BATON_WEBHOOK_OUTBOX_SHUTDOWN_TIMEOUT', option: 'shutdownTimeout', kind: 'duration' },
];

/**
 * The options that are set by variables; pure. Keys are read as `id:key,id:key`.
 *
 * @throws OptionsInvalidError naming each variable that cannot be read; a key's value is never shown.
 */
export function webhookOutboxOptionsFromEnv(env: Environment): WebhookOutboxOptions {
  const { keys, ...options } = readEnvironment('WebhookOutboxModule', env, WEBHOOK_OUTBOX_ENVIRONMENT);
  if (keys === undefined) return options;
  return { ...options, keys: (keys as readonly string[]).map(readKey) };
}

function readKey(text: string, index: number): WebhookKey {
  const colon = text.indexOf(':');
  if (colon < 1)
    throw new OptionsInvalidError('WebhookOutboxModule', [
      `BATON_WEBHOOK_OUTBOX_KEYS must be id:key,id:key; entry ${index + 1} has no id`,
    ]);
  return { id: text.slice(0, colon), key: text.slice(colon + 1) };
}
