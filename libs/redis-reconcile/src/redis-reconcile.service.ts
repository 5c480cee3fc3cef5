import {
  describeError,
  LeaseLostError,
  Metrics,
  ShuttingDownError,
  systemClock,
  systemRandom,
  TypedEvents,
} from '@nest-baton/core';
import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleInit,
  Optional,
} from '@nestjs/common';
import { SchedulerRegistry } from '@nestjs/schedule';
import { InstanceConnection } from './connecting/instance-connection.js';
import type { DeadLetters } from './dead-letters/dead-letter.js';
import { DeadLetterChanges } from './dead-letters/dead-letter-changes.js';
import { DeadLetterStore } from './dead-letters/dead-letter-store.js';
import { HandlerDiscovery } from './handling/handler-discovery.js';
import { claimOrphan, type HandoffRef } from './handling/claim.js';
import type { Handoff } from './handling/handoff.js';
import { currentHandoff } from './handling/handoff-runner.js';
import { ownHandoff } from './handling/own-handoff.js';
import type { NotificationOptions } from './notifying/handoff-notification.js';
import type { HandoffNotifications } from './notifying/handoff-notifications.js';
import { countEvents } from './operating/count-events.js';
import { HandoffSpans } from './operating/handoff-spans.js';
import { localGauges, sharedGauges } from './operating/gauges.js';
import { askHealth, type RedisReconcileHealth } from './operating/reconcile-health.js';
import { type HandoffStats, statsOf } from './partitions/handoff-stats.js';
import type { Partition } from './partitions/partition.js';
import type { ProduceOptions } from './producing/produce-options.js';
import { DedupesOfBefore } from './repartitioning/dedupes-of-before.js';
import { Repartitioner } from './repartitioning/repartitioner.js';
import type { RepartitionReport } from './repartitioning/repartition-report.js';
import { ConfirmedWrites } from './producing/confirmed-writes.js';
import { Producer } from './producing/producer.js';
import { cadenceOf } from './recovery/cadence.js';
import { Reconciler } from './recovery/reconciler.js';
import type { ReconcileReport, RedisReconcileEvents } from './redis-reconcile.events.js';
import { REDIS_RECONCILE_METRICS, type RedisReconcileMetrics } from './redis-reconcile.metrics.js';
import { INSTANCE_NAME, MODULE_OPTIONS_TOKEN } from './redis-reconcile.module-definition.js';
import {
  type RedisReconcileOptions,
  type ResolvedRedisReconcileOptions,
  resolveRedisReconcileOptions,
} from './redis-reconcile.options.js';
import { Consuming } from './running/consuming.js';
import { type TopologyKeeper, topologyOf } from './topology/topology-keeper.js';
import { singleReport, type TopologyReport } from './topology/topology-report.js';
import type { HandoffEngine } from './running/handoff-engine.js';

/**
 * Hands work to one owner at a time.
 *
 * - `produce` resolves only when Redis has the hand-off, and works until the application has shut down.
 * - A process without a handler or an iterator for this instance neither reads nor scans.
 */
@Injectable()
export class RedisReconcileService
  implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown
{
  readonly deadLetters: DeadLetters;
  private readonly logger: Logger;
  private readonly options: ResolvedRedisReconcileOptions;
  private readonly events: TypedEvents<RedisReconcileEvents>;
  private readonly metrics: RedisReconcileMetrics;
  private readonly connection: InstanceConnection;
  private readonly writes: ConfirmedWrites;
  private readonly topology: TopologyKeeper | undefined;
  private readonly producer: Producer;
  private readonly reconciler: Reconciler;
  private readonly repartitioner: Repartitioner;
  private readonly consuming: Consuming;
  private started: Promise<void> | undefined;
  private isClosed = false;

  constructor(
    @Inject(INSTANCE_NAME) name: string,
    @Inject(MODULE_OPTIONS_TOKEN) options: RedisReconcileOptions,
    @Inject(HandlerDiscovery) handlers: HandlerDiscovery,
    @Optional() @Inject(SchedulerRegistry) registry?: SchedulerRegistry,
  ) {
    this.logger = new Logger(`RedisReconcile:${name}`);
    this.options = resolveRedisReconcileOptions(options, name);
    const { dedupeWindowMs, commandTimeoutMs, recovery } = this.options;
    this.events = new TypedEvents((event, error) =>
      this.logger.error('a listener failed', { event, error: describeError(error) }),
    );
    this.metrics = new Metrics(REDIS_RECONCILE_METRICS, name);
    const spans = new HandoffSpans(name);
    countEvents(this.events, this.metrics);
    this.connection = new InstanceConnection(this.options, systemClock, systemRandom, this.logger);
    this.connection.onGap(() => this.metrics.add('connection.gaps', 1));
    const { partitions } = this.connection;
    this.writes = new ConfirmedWrites(this.connection.source, commandTimeoutMs);
    const dedupes = new DedupesOfBefore(this.connection, dedupeWindowMs, systemClock);
    this.producer = new Producer(partitions, dedupeWindowMs, this.metrics, spans, this.writes, dedupes);
    this.deadLetters = new DeadLetterStore(partitions, new DeadLetterChanges(partitions, this.events, systemClock));
    this.reconciler = new Reconciler({
      ...this.options,
      ...recovery,
      partitions,
      clock: systemClock,
      events: this.events,
      onBuried: () => this.engine?.deadLettersCame(),
    });
    const onGap = (partition: Partition) => {
      this.reconciler.noticeGap(partition);
      this.engine?.noticeGap();
    };
    for (const partition of partitions) partition.link.onGap(() => onGap(partition));
    const { logger, events, metrics, reconciler, connection } = this;
    const repartitioner = (this.repartitioner = new Repartitioner({
      ...{ connection, options: this.options, clock: systemClock, events, metrics, logger },
      onBuried: () => this.engine?.deadLettersCame(),
    }));
    const watched = { ...this.options, name, registry, logger, events, metrics };
    this.topology = topologyOf(connection, { ...watched, onMoved: onGap });
    this.consuming = new Consuming({
      ...{ name, handlers, registry, logger, events, metrics, spans, reconciler, repartitioner, connection },
      topology: this.topology,
      options: this.options,
      clock: systemClock,
      random: systemRandom,
    });
  }

  /**
   * Called by Nest.
   *
   * @throws RedisUnavailableError, ServerUnsupportedError, TopologyMismatchError, PartitionsMismatchError: the application does not start.
   */
  async onModuleInit(): Promise<void> {
    this.metrics.start(
      () => localGauges(this.engine, this.connection.isAvailable, this.topology?.report, this.repartitioner.isDraining),
      async () => sharedGauges(await this.stats()),
    );
    try {
      await this.connection.open();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Called by Nest, when every handler exists. Idempotent. */
  onApplicationBootstrap(): Promise<void> {
    return (this.started ??= this.start());
  }

  /** Called by Nest: reads nothing more, and hands back or finishes what is owned. */
  async beforeApplicationShutdown(): Promise<void> {
    if (this.isClosed) return;
    await this.consuming.stop();
  }

  /** Called by Nest: closes what this module opened. */
  onApplicationShutdown(): Promise<void> {
    return this.close();
  }

  /**
   * Hands off a data stream. Resolves with the id that the hand-off keeps for life.
   *
   * @throws HandoffInvalidError; ShuttingDownError; RedisUnavailableError: it may have been added, call again with the same `dedupeId`;
   * HandoffUnconfirmedError: it was added, and `waitReplicas` have not all said so.
   */
  async produce(dataStream: string, options: ProduceOptions = {}): Promise<string> {
    if (this.isClosed) throw new ShuttingDownError('The application has shut down: nothing is handed off any more.');
    return this.producer.produce(dataStream, options);
  }

  /**
   * The work is done; for those who want to say so before their handler resolves. A second call does nothing.
   *
   * @throws LeaseLostError; HandoffNotOwnedError; RedisUnavailableError: nothing has changed here, call again.
   */
  async doneStream(handoff: Handoff | string): Promise<void> {
    const owned = ownHandoff(this.engine?.keeper, handoff);
    await this.engine?.settlement.done(owned);
  }

  /**
   * Hands the work back, unfinished and uncounted. A handler that still runs is told by its signal.
   *
   * @throws LeaseLostError; HandoffNotOwnedError; RedisUnavailableError: nothing has changed here, call again.
   */
  async release(handoff: Handoff | string, reason = 'released'): Promise<void> {
    const owned = ownHandoff(this.engine?.keeper, handoff);
    const isElsewhere = currentHandoff.getStore() !== owned;
    await this.engine?.settlement.handBack(owned, reason, isElsewhere && owned.watcher === undefined);
    if (isElsewhere)
      owned.abortFor(new LeaseLostError(`Data stream '${owned.dataStream}' was handed back: ${reason}.`));
  }

  /**
   * Hand-offs for a process that would rather pull than have a handler. Nothing is read before the first pull; each `StreamAdded` is owned until
   * `doneStream` or `release` is called with its hand-off.
   *
   * @throws OptionsInvalidError; NotificationsTakenError when there is a handler, or another iterator that has not ended.
   */
  notifications(options: NotificationOptions): HandoffNotifications {
    return this.consuming.notifications(options);
  }

  /**
   * Takes an orphan from its dead owner now, before a scan does: whoever reads next gets it. Grants no ownership, and needs no handler.
   *
   * @throws HandoffAlreadyClaimedError when there is nothing to take: its owner lives, or somebody was faster. HandoffInvalidError; ShuttingDownError;
   * RedisUnavailableError, also for one lease after Redis was away: owners that live hand back first.
   */
  async claim(handoff: HandoffRef): Promise<'requeued' | 'deadLettered'> {
    if (this.isClosed) throw new ShuttingDownError('The application has shut down: nothing is claimed any more.');
    return claimOrphan(this.connection.partitions, this.reconciler, handoff);
  }

  /** Looks for orphans now, as the scan does. Works without a handler too. */
  async reconcileNow(): Promise<ReconcileReport> {
    const report = await this.engine?.reconcileNow();
    if (report === undefined) await this.topology?.check();
    return report ?? this.reconciler.pass(cadenceOf(this.options, false).minIdleMs);
  }

  /**
   * Looks who the masters of the cluster are, listens to each of them, once, and asks them for expiry events; the same happens by itself when they
   * change. Does nothing on a single node.
   *
   * @throws ClusterNotSettledError: nothing was changed; RedisUnavailableError when no node answers.
   */
  resetTopology(): Promise<TopologyReport> {
    return this.topology?.reset() ?? Promise.resolve(this.report);
  }

  /**
   * Changes the number of partitions while there is work, or goes on with a change that was begun. From then on whoever runs with the old number
   * is refused, and what it owns goes on. Resolves with how far it came; processes with the new number do the rest, and so does every further call.
   *
   * @throws OptionsInvalidError; RepartitionInProgressError: nothing was changed; ShuttingDownError; RedisUnavailableError: what was done stays
   * done, call again.
   */
  async repartition(partitions: number): Promise<RepartitionReport> {
    if (this.isClosed) throw new ShuttingDownError('The application has shut down: nothing is moved any more.');
    return this.repartitioner.repartition(partitions);
  }

  stats(): Promise<HandoffStats> {
    return statsOf([...this.connection.partitions, ...this.connection.oldPartitions], this.engine?.keeper.size ?? 0);
  }

  /** Listens to this instance, in this process; returns the function that stops listening. A listener that throws is logged. */
  on<Name extends keyof RedisReconcileEvents>(
    event: Name,
    listener: (payload: RedisReconcileEvents[Name]) => unknown,
  ): () => void {
    return this.events.on(event, listener);
  }

  /** Asks the server. Never rejects. */
  async health(): Promise<RedisReconcileHealth> {
    if (this.isClosed) return { state: 'down', reason: 'closed', message: 'the application has shut down' };
    return askHealth(this.connection, () => {
      const { engine, report: topology } = this;
      return { hasHandler: engine !== undefined, events: engine?.coverage, topology };
    });
  }

  private get report(): TopologyReport {
    return this.topology?.report ?? singleReport(this.engine?.coverage?.isCovered === true);
  }

  private get engine(): HandoffEngine | undefined {
    return this.consuming.engine;
  }

  private async start(): Promise<void> {
    try {
      await this.consuming.startHandler();
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  private async close(): Promise<void> {
    this.isClosed = true;
    await this.metrics.stop();
    this.writes.close();
    this.connection.close();
  }
}
