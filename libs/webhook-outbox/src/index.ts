// Setting up
export { WebhookOutboxModule } from './webhook-outbox.module.js';
export {
  getWebhookDeliveriesToken,
  getWebhookEndpointsToken,
  getWebhookOutboxToken,
  InjectWebhookDeliveries,
  InjectWebhookEndpoints,
  InjectWebhookOutbox,
} from './webhook-outbox.module-definition.js';
export {
  resolveWebhookOutboxOptions,
  type ResolvedWebhookOutboxOptions,
  type WebhookKey,
  type WebhookOutboxOptions,
} from './webhook-outbox.options.js';
export { WEBHOOK_OUTBOX_ENVIRONMENT, webhookOutboxOptionsFromEnv } from './configuring/outbox-environment.js';
export type { ResolvedRetention, RetentionOptions } from './retaining/retention.options.js';
export { DeliveryAttempt, OutboxDelivery, OutboxEvent, webhookOutboxEntities } from './schema/entities.js';
export { EndpointState, WebhookEndpoint, WebhookSecret } from './schema/endpoint-entities.js';
export { EventHandOff } from './schema/hand-off-entity.js';
export { OutboxLine } from './schema/line-entity.js';

// Using
export { WebhookOutboxService } from './webhook-outbox.service.js';
export type { SendOptions, SentEvent, WebhookEvent } from './producing/webhook-event.js';
export { type QueuedWebhook, WebhookQueue } from './queueing/webhook-queue.js';
export type { DeliveryStanding, DeliverySummary } from './consuming/delivery-summary.js';
export type { SweepOptions, SweptEvent } from './sweeping/swept-event.js';
export { WebhookEndpointsService } from './endpoints/webhook-endpoints.service.js';
export type { LegacySignature, ShownLegacySignature } from './signing/legacy-signature.js';
export type { SignatureKind } from './signing/signing-key.js';
export type {
  CreatedEndpoint,
  Endpoint,
  EndpointChange,
  EndpointFilter,
  EndpointPage,
  EndpointSecret,
  EndpointStanding,
  NewEndpoint,
  RotatedSecret,
  RotateOptions,
  SentTest,
  TestEvent,
} from './endpoints/endpoint.js';
export type { EndpointOrder } from './ordering/endpoint-order.js';
export type { EndpointLimits, EndpointRate } from './limiting/endpoint-limits.js';
export {
  type ReplayManyRequest,
  type ReplaySummary,
  WebhookDeliveriesService,
} from './deliveries/webhook-deliveries.service.js';
export type { DeliveryFilter } from './deliveries/delivery-filter.js';
export type { DeliveryPage, PageOptions, StoredDelivery, TenantScope } from './deliveries/stored-delivery.js';

// Operating
export type { DirectOutcome, DirectResult } from './sending-once/direct-requests.js';
export type { SnapshotFacts } from './sending-once/endpoint-snapshot.js';
export type { OutboxStats } from './operating/outbox-stats.js';
export type { WebhookOutboxEvents } from './webhook-outbox.events.js';
export { WEBHOOK_OUTBOX_METRICS } from './webhook-outbox.metrics.js';
export type { WebhookOutboxHealth } from './operating/outbox-health.js';
export type { DrainReport } from './delivering/drain.js';
export type {
  AttemptOutcome,
  AttemptReason,
  DeadDelivery,
  DeliveryReason,
  DeliveryReport,
  DeliveryState,
  PutAsideReason,
} from './delivering/delivery.js';

// Errors
export {
  DeliveryNotFoundError,
  DeliveryStateError,
  EndpointInvalidError,
  EndpointLimitError,
  EndpointNotActiveError,
  EndpointNotFoundError,
  EndpointSecretError,
  EventConflictError,
  EventInvalidError,
  KeyRingInvalidError,
  NoRelayError,
  PayloadTooLargeError,
  PersistUnknownError,
} from './webhook-outbox.errors.js';

// Extending
export {
  claimDueEvents,
  type ClaimOptions,
  completeEvent,
  enqueueEvent,
  type EventTables,
  failEvent,
  rescheduleEvent,
} from './sweeping/event-primitives.js';
export { type CleanedUp, cleanupOldEvents, type CleanupOptions } from './retaining/cleanup-old-events.js';
export type { ClaimedEvent } from './sweeping/hand-off-store.js';
