// Setting up
export { RedisReconcileModule } from './redis-reconcile.module.js';
export { getRedisReconcileToken, InjectRedisReconcile } from './redis-reconcile.module-definition.js';
export {
  type NackBackoffOptions,
  REDIS_RECONCILE_ENVIRONMENT,
  type RecoveryOptions,
  type RedisReconcileOptions,
  redisReconcileOptionsFromEnv,
  resolveRedisReconcileOptions,
  type ResolvedRedisReconcileOptions,
} from './redis-reconcile.options.js';
export type { ClusterNodeAddress, RedisConnectionOptions } from './connecting/connection-source.js';

// Using
export {
  HandoffHandler,
  type HandoffHandlerOptions,
  type HandoffWorker,
} from './handling/handoff-handler.decorator.js';
export type { HandoffRef } from './handling/claim.js';
export type { Handoff } from './handling/handoff.js';
export { RedisReconcileService } from './redis-reconcile.service.js';
export type { HandoffNotification, NotificationOptions, TerminationReason } from './notifying/handoff-notification.js';
export type { HandoffNotifications } from './notifying/handoff-notifications.js';
export type { ProduceOptions } from './producing/produce-options.js';

// Operating
export type {
  DeadLetter,
  DeadLetterFilter,
  DeadLetterPage,
  DeadLetters,
  PurgeOptions,
  PurgeReport,
  RedriveAllOptions,
  RedriveReport,
} from './dead-letters/dead-letter.js';
export type { RepartitionReport } from './repartitioning/repartition-report.js';
export type { HandoffStats } from './partitions/handoff-stats.js';
export type { RedisReconcileHealth } from './operating/reconcile-health.js';
export type { ReconcileReport, RedisReconcileEvents, ShutdownReport } from './redis-reconcile.events.js';
export type { TopologyReport } from './topology/topology-report.js';
export { REDIS_RECONCILE_METRICS } from './redis-reconcile.metrics.js';

// Errors
export {
  ClusterNotSettledError,
  ConsumerIdMissingError,
  DeadLetterNotFoundError,
  HandoffAlreadyClaimedError,
  HandoffInvalidError,
  HandoffNotOwnedError,
  HandoffUnconfirmedError,
  KeyTypeConflictError,
  NackError,
  NotificationsTakenError,
  PartitionsMismatchError,
  RedisUnavailableError,
  RepartitionInProgressError,
  TopologyMismatchError,
} from './redis-reconcile.errors.js';
