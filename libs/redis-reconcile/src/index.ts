// Setting up
export { RedisReconcileModule } from './redis-reconcile.module.js';
export { getRedisReconcileToken, InjectRedisReconcile } from './redis-reconcile.module-definition.js';
export {
  type NackBackoffOptions,
  type RecoveryOptions,
  type RedisReconcileOptions,
  resolveRedisReconcileOptions,
  type ResolvedRedisReconcileOptions,
} from './redis-reconcile.options.js';
export { REDIS_RECONCILE_ENVIRONMENT, redisReconcileOptionsFromEnv } from './redis-reconcile.environment.js';

// Using
export {
  HandoffHandler,
  type HandoffHandlerOptions,
  type HandoffWorker,
} from './handling/handoff-handler.decorator.js';
export type { Handoff } from './handling/handoff.js';
export { type RedisReconcileHealth, RedisReconcileService } from './redis-reconcile.service.js';
export type { ProduceOptions } from './producing/produce-options.js';

// Operating
export type { DeadLetter, DeadLetterPage, DeadLetters } from './dead-letters/dead-letter.js';
export type { HandoffStats, ReconcileReport } from './redis-reconcile.report.js';
export type { RedisReconcileEvents, ShutdownReport } from './redis-reconcile.events.js';

// Errors
export {
  ConsumerIdMissingError,
  HandoffInvalidError,
  HandoffNotOwnedError,
  NackError,
  PartitionsMismatchError,
  RedisUnavailableError,
} from './redis-reconcile.errors.js';
