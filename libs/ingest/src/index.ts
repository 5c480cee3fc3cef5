// Setting up
export { IngestModule } from './ingest.module.js';
export { getIngestToken, InjectIngest } from './ingest.module-definition.js';
export {
  type IngestAuth,
  type IngestConcurrencyOptions,
  type IngestHooks,
  type IngestIndexOptions,
  type IngestOptions,
  type IngestRetryOptions,
  type RejectReport,
  type ResolvedIndexOptions,
  type ResolvedIngestOptions,
  resolveIngestOptions,
} from './ingest.options.js';
export { INGEST_ENVIRONMENT, ingestOptionsFromEnv } from './configuring/environment.js';
export type { StandardSchema } from './admitting/standard-schema.js';

// Using
export { IngestService } from './ingest.service.js';
export { ackDecision } from './settling/ack-decision.js';
export type { DiscardReason, DocumentOutcome, IngestReceipt } from './settling/receipt.js';

// Operating
export type { BatchSettled, IngestEvents } from './ingest.events.js';
export { INGEST_METRICS } from './ingest.metrics.js';
export type { IngestHealth } from './operating/ingest-health.js';
export type { CloseReport, IngestStats } from './operating/ingest-report.js';

// Errors
export { IngestError, type IngestFailure, IngestNotConfirmedError } from './ingest.errors.js';
