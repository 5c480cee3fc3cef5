// Errors
export {
  BatonError,
  LeaseLostError,
  MigrationsPendingError,
  NotInTransactionError,
  OptionsInvalidError,
  ServerUnsupportedError,
  ShuttingDownError,
} from './errors.js';
export { describeError, errorCode } from './describe-error.js';

// Options
export { type Duration, parseDuration } from './options/durations.js';
export { OptionsCheck } from './options/options-check.js';
export {
  type Environment,
  type EnvironmentKind,
  type EnvironmentVariable,
  readEnvironment,
} from './options/environment.js';
export { nearestName, unknownName } from './options/nearest-name.js';

// Time and chance
export { type Backoff, backoffDelay } from './backoff.js';
export { type Clock, type Random, randomToken, systemClock, systemRandom } from './clock.js';

// Running
export type { Runnable } from './running/lifecycle.js';
export { PollLoop, type PollLoopOptions, type TimeoutRegistry } from './running/poll-loop.js';
export { SharedLook } from './running/shared-look.js';
export { TypedEvents } from './typed-events.js';

// Metrics
export {
  type CounterRow,
  COUNTS,
  type GaugeRow,
  type HistogramRow,
  LONG_SECONDS,
  metricName,
  type MetricRow,
  type MetricTable,
  QUICK_SECONDS,
  SIZES_IN_BYTES,
} from './metrics/metric-table.js';
export { type GaugeReadings, Metrics, secondsSince } from './metrics/metrics.js';

// Tracing
export { activeSpanContext, isSampled } from './tracing/active-span.js';
export { errorType } from './tracing/error-type.js';
export { OpenSpan, type SpanEnd } from './tracing/open-span.js';
export { MAX_LINKS } from './tracing/span-links.js';
export {
  MAX_TRACESTATE_LENGTH,
  readTraceContext,
  TRACEPARENT_LENGTH,
  type TraceContextText,
  writeTraceContext,
} from './tracing/trace-context-text.js';
export { type SpanDescription, Tracing, type TracingScope } from './tracing/tracing.js';

// Servers
export { isVersionAtLeast } from './server-version.js';
export { type Queryable, type QueryOutcome, quoteIdentifier, sqlState } from './postgres/queryable.js';
export {
  type AdaptedTransaction,
  adaptTransaction,
  type EntityManagerLike,
  type PgClientLike,
  type QueryRunnerLike,
  type TransactionLike,
} from './postgres/transaction.js';
export {
  CoalescedNotifier,
  type CoalescedNotifierOptions,
  decodeTopics,
  encodeTopics,
  type NotifiedTopics,
} from './postgres/coalesced-notifier.js';
export {
  type ListenClient,
  type ListenerState,
  SelfHealingListener,
  type SelfHealingListenerOptions,
} from './postgres/self-healing-listener.js';
export { type EchoProbeOptions } from './postgres/echo-probe.js';
export { surviveLostConnections } from './postgres/survive-lost-connections.js';
export { type Migration, type MigrationPlan, runMigrations } from './postgres/migrations.js';
