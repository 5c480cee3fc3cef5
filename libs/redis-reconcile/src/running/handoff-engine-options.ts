import type { Clock, Random, TimeoutRegistry, TypedEvents } from '@nest-baton/core';
import type { Logger } from '@nestjs/common';
import type { InstanceConnection } from '../connecting/instance-connection.js';
import type { HandoffWorker } from '../handling/handoff-handler.decorator.js';
import type { HandoffSpans } from '../operating/handoff-spans.js';
import type { Reconciler } from '../recovery/reconciler.js';
import type { RedisReconcileEvents } from '../redis-reconcile.events.js';
import type { RedisReconcileMetrics } from '../redis-reconcile.metrics.js';
import type { ResolvedRedisReconcileOptions } from '../redis-reconcile.options.js';
import type { Repartitioner } from '../repartitioning/repartitioner.js';
import type { TopologyKeeper } from '../topology/topology-keeper.js';

/** What an engine is given: what it works for, and what it works with. */
export interface HandoffEngineOptions {
  readonly name: string;
  readonly options: ResolvedRedisReconcileOptions;
  readonly connection: InstanceConnection;
  /** `undefined` on a single node. */
  readonly topology: TopologyKeeper | undefined;
  readonly reconciler: Reconciler;
  readonly repartitioner: Repartitioner;
  readonly worker: HandoffWorker;
  readonly concurrency: number;
  readonly events: TypedEvents<RedisReconcileEvents>;
  readonly metrics: RedisReconcileMetrics;
  readonly spans: HandoffSpans;
  readonly registry: TimeoutRegistry | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** The lease of another process ran out, or a back-off: a hint. */
  readonly onExpired?: (dataStream: string) => void;
  /** Reads of a partition fail: the last error, and how many there were in a row. */
  readonly onReadFailure?: (error: unknown, failures: number) => void;
}
