import { type Environment, type EnvironmentVariable, readEnvironment } from '@nest-baton/core';
import type { IngestOptions } from '../ingest.options.js';

/**
 * Every option that a text can set; what further indexes have cannot. `BATON_INGEST_AUTH` is the `authorization` header.
 * `BATON_INGEST_CONCURRENCY` is a fixed number, and so stands alone.
 */
export const INGEST_ENVIRONMENT: readonly EnvironmentVariable[] = [
  { variable: 'BATON_INGEST_URL', option: 'url', kind: 'string' },
  { variable: 'BATON_INGEST_INDEX', option: 'index', kind: 'string' },
  { variable: 'BATON_INGEST_PROTOCOL', option: 'protocol', kind: 'string' },
  { variable: 'BATON_INGEST_COMMIT', option: 'commit', kind: 'string' },
  { variable: 'BATON_INGEST_MAX_BATCH_DOCS', option: 'maxBatchDocs', kind: 'integer' },
  { variable: 'BATON_INGEST_MAX_BATCH_BYTES', option: 'maxBatchBytes', kind: 'integer' },
  { variable: 'BATON_INGEST_SERVER_LIMIT_BYTES', option: 'serverLimitBytes', kind: 'integer' },
  { variable: 'BATON_INGEST_MAX_DELAY', option: 'maxDelay', kind: 'duration' },
  { variable: 'BATON_INGEST_HINTS', option: 'hints', kind: 'string' },
  { variable: 'BATON_INGEST_CONCURRENCY', option: 'concurrency', kind: 'integer' },
  { variable: 'BATON_INGEST_CONCURRENCY_START', option: 'concurrency.start', kind: 'integer' },
  { variable: 'BATON_INGEST_CONCURRENCY_MIN', option: 'concurrency.min', kind: 'integer' },
  { variable: 'BATON_INGEST_CONCURRENCY_MAX', option: 'concurrency.max', kind: 'integer' },
  { variable: 'BATON_INGEST_MAX_BUFFER_DOCS', option: 'maxBufferDocs', kind: 'integer' },
  { variable: 'BATON_INGEST_MAX_BUFFER_BYTES', option: 'maxBufferBytes', kind: 'integer' },
  { variable: 'BATON_INGEST_OVERFLOW', option: 'overflow', kind: 'string' },
  { variable: 'BATON_INGEST_COMPRESSION', option: 'compression', kind: 'string' },
  { variable: 'BATON_INGEST_REQUEST_TIMEOUT', option: 'requestTimeout', kind: 'duration' },
  { variable: 'BATON_INGEST_COMMIT_TIMEOUT', option: 'commitTimeout', kind: 'duration' },
  { variable: 'BATON_INGEST_RETRY_BASE', option: 'retry.base', kind: 'duration' },
  { variable: 'BATON_INGEST_RETRY_FACTOR', option: 'retry.factor', kind: 'number' },
  { variable: 'BATON_INGEST_RETRY_CAP', option: 'retry.cap', kind: 'duration' },
  { variable: 'BATON_INGEST_AMBIGUOUS', option: 'ambiguous', kind: 'string' },
  { variable: 'BATON_INGEST_CLOSE_TIMEOUT', option: 'closeTimeout', kind: 'duration' },
  { variable: 'BATON_INGEST_HOOK_TIMEOUT', option: 'hookTimeout', kind: 'duration' },
  { variable: 'BATON_INGEST_STALLED_AFTER', option: 'stalledAfter', kind: 'duration' },
  { variable: 'BATON_INGEST_AUTH', option: 'auth.authorization', kind: 'string' },
];

/**
 * Pure. What is set only; bounds are checked where options are resolved.
 *
 * @throws OptionsInvalidError for a text that is no such value, and for a fixed concurrency beside bounds.
 */
export function ingestOptionsFromEnv(env: Environment): Partial<IngestOptions> {
  return readEnvironment('IngestModule', env, INGEST_ENVIRONMENT);
}
