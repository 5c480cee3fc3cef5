// Setting up
export { IngestModule } from './ingest.module.js';
export { getIngestToken, InjectIngest } from './ingest.module-definition.js';
export {
  INGEST_ENVIRONMENT,
  type IngestAuth,
  type IngestHooks,
  type IngestOptions,
  type IngestRetryOptions,
  ingestOptionsFromEnv,
  type RejectReport,
  type ResolvedIngestOptions,
  resolveIngestOptions,
} from './ingest.options.js';

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
