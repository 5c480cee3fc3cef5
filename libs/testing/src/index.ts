// Backends
export {
  type BackendFilter,
  type ExclusivePostgres,
  type ExclusivePostgresOptions,
  type PostgresServer,
  startPostgres,
} from './postgres/start-postgres.js';
export { type Pgbouncer, type PgbouncerOptions, startPgbouncer } from './postgres/start-pgbouncer.js';
export type { PostgresSettings } from './postgres/local-postgres.js';
export { type ExclusiveRedis, type RedisServer, startRedis } from './redis/start-redis.js';
export { startRedisCluster, type RedisClusterOptions } from './redis/cluster/start-redis-cluster.js';
export type { RedisCluster, SlotMove } from './redis/cluster/redis-cluster.js';
export type { FailoverOptions } from './redis/cluster/failover.js';
export type { RedisClusterNode } from './redis/cluster/cluster-node.js';
export type { SlotOrKey, SlotRange } from './redis/cluster/slots.js';

// What the suites of a run share
export { type FreshDatabase, freshDatabase } from './postgres/fresh-database.js';
export { sharedPostgresUrl, sharedRedisUrl } from './backends/shared-backends.js';

// What the run asks of its suites
export { hintsUnderTest } from './run/hints-under-test.js';
export { quickwitUnderTest } from './run/quickwit-under-test.js';
export { type SoakPlan, soakPlan } from './run/soak-plan.js';

// Waiting and holding
export { waitFor, type WaitOptions } from './waiting/wait-for.js';
export { StallMeter } from './waiting/stall-meter.js';
export { Gate, openGate } from './waiting/gate.js';

// Checking what a run came to
export {
  assertConservation,
  checkConservation,
  type ConservationLedger,
  type ConservationReport,
  type ConservationViolation,
  type Effect,
  type Repetition,
} from './checking/conservation.js';
export {
  assertLeaseHistory,
  checkLeaseHistory,
  type LeaseHistoryReport,
  type LeaseHistoryRules,
} from './checking/lease-history.js';
export type { LeaseEvent, Moment } from './checking/lease-event.js';
export type { LeaseViolation } from './checking/lease-grant.js';
export { failoverBetween, leaseEventsOf, LeaseRecorder, machineTime, ownerGone } from './checking/lease-recorder.js';
export type { Violation } from './checking/violation.js';

// The lifecycle that everything keeps
export {
  type LifecycleCase,
  lifecycleContract,
  type LifecycleContractOptions,
} from './lifecycle/lifecycle-contract.js';
export type { Counts, LifecycleAbility, LifecycleSubject } from './lifecycle/lifecycle-subject.js';
export type { LifecycleTraits } from './lifecycle/lifecycle-trial.js';

// Time and chance
export { VirtualClock } from './time/virtual-clock.js';
export type { VirtualTimer } from './time/virtual-timer.js';
export { randomBetween, randomPick, randomShuffle, seededRandom, withSeed } from './chance/seeded-random.js';
export {
  type Actors,
  type ActorScheduler,
  interleaved,
  playActors,
  type ScheduledStep,
  type Steps,
} from './chance/actors.js';

// The other side of HTTP
export { FakeQuickwit, type FakeQuickwitOptions } from './quickwit/fake-quickwit.js';
export type { IngestFilter, IngestRequest, SentDocument } from './quickwit/ingest-request.js';
export type { IngestFault, ItemVerdict, UnreadIngestFault } from './quickwit/ingest-fault.js';
export type { FailureReason } from './quickwit/contract/failure-reasons.js';
export type { DocumentCheck, ParseFailure } from './quickwit/contract/documents.js';
export { type WebhookFilter, WebhookReceiver, type WebhookReceiverOptions } from './webhooks/webhook-receiver.js';
export type { ReceivedWebhook } from './webhooks/received-webhook.js';
export type { UnreadWebhookAnswer, WebhookAnswer } from './webhooks/webhook-answer.js';
export type { Verification } from './webhooks/signatures.js';
export type { CertificateFlaw } from './http/certificates.js';
export type { ConnectionFault } from './http/connections.js';
export type { WireFault } from './http/wire-fault.js';
export type { Script } from './http/script.js';

// The network
export {
  type BlackHoleOptions,
  FaultProxy,
  type FaultProxyOptions,
  type ProxiedPiece,
  type ProxyCounts,
} from './network/fault-proxy.js';
export { ClusterFaultProxy, type NodeAddress } from './network/cluster-fault-proxy.js';
export type { ByteCounts, CutOptions, FaultConnection, Faults, TruncateOptions } from './network/fault-connection.js';
export type { CutKind, Direction } from './network/lane-faults.js';

// Processes and ports
export { ChildWorker, type ProcessExit, type ProcessOptions, startProcess } from './processes/child-worker.js';
export { freePort } from './processes/free-port.js';

// Errors
export {
  BackendFailedError,
  BackendUnavailableError,
  ConservationViolatedError,
  LeaseHistoryViolatedError,
  ProcessEndedError,
  SeededRunFailedError,
  WaitTimeoutError,
} from './testing.errors.js';
