import { setTimeout as sleep } from 'node:timers/promises';
import { describeError, PollLoop, randomToken } from '@nest-baton/core';
import { DeadLetterCourier } from '../dead-letters/dead-letter-courier.js';
import { HandoffRunner } from '../handling/handoff-runner.js';
import { LeaseKeeper } from '../handling/lease-keeper.js';
import { Settlement } from '../handling/settlement.js';
import { ExpiryListeners } from '../noticing/expiry-listeners.js';
import { LapseNoticer } from '../noticing/lapse-noticer.js';
import { allButUnreachable } from '../partitions/all-but-unreachable.js';
import type { Partition } from '../partitions/partition.js';
import { BlockingReader } from '../reading/blocking-reader.js';
import { Capacity } from '../reading/capacity.js';
import { Intake } from '../reading/intake.js';
import { PartitionReader } from '../reading/partition-reader.js';
import { cadenceOf } from '../recovery/cadence.js';
import type { ReconcileReport, ShutdownReport } from '../redis-reconcile.events.js';
import type { HandoffEngineOptions } from './handoff-engine-options.js';

/** A hold is looked at this long after it should have run out, by our clock. */
const HOLD_MARGIN_MS = 30;
/** Between two looks while the partitions of the old number drain. */
const DRAIN_INTERVAL_MS = 1000;
/** The longest wait for a dead letter that nobody told us of. */
const COURIER_INTERVAL_MS = 10_000;

/**
 * What an instance that takes work runs: readers, leases, the scan, the ear for expiry events and the courier of dead letters.
 *
 * - `start()` resolves when the groups exist and the subscription is confirmed.
 * - `stop()` returns when nothing reads, scans or renews any more and all work is done, handed back or reported.
 */
export class HandoffEngine {
  readonly keeper: LeaseKeeper;
  readonly settlement: Settlement;
  /** Unique for each start: a restarted pod never takes its predecessor's entries for its own. */
  readonly consumer: string;
  private readonly capacity: Capacity;
  private readonly runner: HandoffRunner;
  private readonly intake: Intake;
  private readonly readers: readonly PartitionReader[];
  private readonly listeners: ExpiryListeners;
  private readonly noticer: LapseNoticer;
  private readonly courier: DeadLetterCourier | undefined;
  private readonly scan: PollLoop;
  private lastReport: ReconcileReport | undefined;
  private lastWarningAt = -Infinity;
  private stopped: Promise<ShutdownReport> | undefined;

  constructor(private readonly engine: HandoffEngineOptions) {
    const { options, concurrency } = engine;
    const { partitions } = engine.connection;
    this.consumer = `${options.consumerId}~${randomToken(8)}`;
    this.capacity = new Capacity(concurrency);
    this.noticer = new LapseNoticer({ ...engine, partitions, now: () => engine.clock.monotonic() });
    this.courier = this.makeCourier();
    this.keeper = new LeaseKeeper({
      ...options,
      clock: engine.clock,
      metrics: engine.metrics,
      onFailure: (error) => this.warn('renewing leases failed', error),
      onLapsed: (handoff) => this.runner.handBackLapsed(handoff),
    });
    this.settlement = new Settlement({
      ...engine,
      ...options.recovery,
      nackBackoff: options.nackBackoff,
      keeper: this.keeper,
      onHeld: ({ partition, dataStream }, delayMs) => {
        if (this.hasHints) this.noticer.notice(partition.index, dataStream, delayMs + HOLD_MARGIN_MS);
      },
      onBuried: () => this.deadLettersCame(),
    });
    const { capacity, keeper, settlement, consumer } = this;
    this.runner = new HandoffRunner({ ...engine, keeper, settlement, capacity });
    this.intake = new Intake({
      ...engine,
      leaseMs: options.leaseMs,
      partitionCount: partitions.length,
      runner: this.runner,
      capacity,
      keeper,
      consumer,
    });
    this.readers = partitions.map((partition) => this.makeReader(partition));
    this.listeners = this.makeListeners();
    this.scan = this.makeScan();
  }

  /** Whether expiry events arrive; `undefined` where they are off on purpose. */
  get coverage(): { readonly isCovered: boolean; readonly reason: string } | undefined {
    if (this.eventsMode === 'off') return undefined;
    return { isCovered: this.listeners.isCovered, reason: this.listeners.reason };
  }

  async start(): Promise<void> {
    const { partitions } = this.engine.connection;
    await allButUnreachable(partitions, async (partition) => {
      await partition.createOwnersGroup();
      if (this.courier !== undefined) await partition.createHandlersGroup();
    });
    await this.startListening();
    this.scan.start();
    this.courier?.start();
    for (const reader of this.readers) reader.start();
  }

  /** Commands work again: there may be orphans that nobody could be told of. */
  noticeGap(): void {
    this.scan.notify();
  }

  /** One look now. */
  async reconcileNow(): Promise<ReconcileReport | undefined> {
    await this.scan.runOnce();
    return this.lastReport;
  }

  /** Dead letters were added by this process. */
  deadLettersCame(): void {
    if (this.hasHints) this.courier?.notify();
  }

  stop(): Promise<ShutdownReport> {
    return (this.stopped ??= this.stopOnce());
  }

  private async stopOnce(): Promise<ShutdownReport> {
    const { options, connection, events } = this.engine;
    this.runner.beginEnd();
    this.intake.stop();
    this.capacity.close();
    this.listeners.stop();
    await this.engine.topology?.stop();
    await Promise.all([...this.readers.map((reader) => reader.stop()), this.scan.stop(), this.noticer.stop()]);
    const [report] = await Promise.all([
      this.runner.finish(options.shutdown, options.shutdownTimeoutMs),
      this.courier?.stop(options.shutdownTimeoutMs),
    ]);
    await this.keeper.stop();
    const late = new AbortController();
    await Promise.race([
      Promise.all(connection.partitions.map((partition) => this.tidyUp(partition))),
      sleep(Math.max(options.shutdownTimeoutMs, options.commandTimeoutMs), undefined, { signal: late.signal }).catch(
        () => undefined,
      ),
    ]);
    late.abort();
    events.emit('stopped', report);
    return report;
  }

  private async tidyUp(partition: Partition): Promise<void> {
    try {
      await this.engine.reconciler.handBackUnleased(partition, this.consumer);
      await partition.forgetConsumers(0, this.consumer);
    } catch (error) {
      this.warn('tidying up at shutdown failed; a scan will', error);
    }
  }

  private get hasHints(): boolean {
    return this.engine.options.hints === 'on';
  }

  private get eventsMode(): 'auto' | 'require' | 'verify' | 'off' {
    return this.hasHints ? this.engine.options.keyspaceEvents : 'off';
  }

  private get cadence() {
    return cadenceOf(this.engine.options, this.listeners.isCovered);
  }

  private makeScan(): PollLoop {
    const { name, registry, random, reconciler, repartitioner, metrics, connection, topology } = this.engine;
    return new PollLoop({
      name: `baton:redis-reconcile:${name}:scan`,
      registry,
      random,
      pass: async (signal) => {
        // Before orphans are looked for: where the master is another one, owners may not have been able to renew.
        await topology?.check();
        await connection.fixPartitions();
        await this.listeners.check();
        this.lastReport = await reconciler.pass(this.cadence.minIdleMs, signal);
        await repartitioner.goOn();
      },
      // Cut short in the quiet after a gap, whose end is the time to look.
      intervalMs: () => {
        if (reconciler.quietMs > 0) return reconciler.quietMs + 1;
        const { intervalMs } = this.cadence;
        return repartitioner.isDraining ? Math.min(intervalMs, DRAIN_INTERVAL_MS) : intervalMs;
      },
      onError: (error) => {
        metrics.add('scan.failures', 1);
        this.warn('looking for orphans failed', error);
      },
    });
  }

  private makeReader(partition: Partition): PartitionReader {
    const { connection, options, random } = this.engine;
    const { blockMs, commandTimeoutMs } = options;
    return new PartitionReader({
      partition,
      reader: new BlockingReader(connection.source, partition.keys.stream, this.consumer, blockMs, commandTimeoutMs),
      capacity: this.capacity,
      random,
      onEntries: (entries) => this.intake.take(partition, entries),
      onFailure: (error, failures) => {
        this.warn('reading hand-offs failed', error);
        this.engine.onReadFailure?.(error, failures);
      },
      stopTimeoutMs: commandTimeoutMs,
    });
  }

  private makeListeners(): ExpiryListeners {
    const { options, connection, events, metrics } = this.engine;
    return new ExpiryListeners({
      ...this.engine,
      service: options.service,
      partitions: options.partitions,
      database: connection.source.database,
      mode: this.eventsMode,
      commandTimeoutMs: options.commandTimeoutMs,
      onExpired: (partition, dataStream) => {
        metrics.add('expiry_events.heard', 1);
        this.noticer.notice(partition, dataStream);
        if (this.engine.onExpired !== undefined && this.keeper.find(dataStream) === undefined)
          this.engine.onExpired(dataStream);
      },
      onCoverage: (isCovered, reason) => {
        events.emit('coverageChanged', { isCovered, reason });
        this.scan.notify();
      },
      onSetUp: (isCovered) => metrics.add('expiry_events.setups', 1, isCovered ? 'covered' : 'not_covered'),
    });
  }

  private async startListening(): Promise<void> {
    const { topology, connection } = this.engine;
    const { listeners } = this;
    if (topology === undefined) await listeners.follow([connection.onlyMaster]);
    else
      await topology.start({
        get covered() {
          return listeners.covered;
        },
        follow: (masters) => listeners.follow(masters),
        expect: (ids) => listeners.expect(ids),
      });
    listeners.demand();
  }

  private makeCourier(): DeadLetterCourier | undefined {
    const { worker, options, name } = this.engine;
    if (worker.onDeadLetter === undefined) return undefined;
    return new DeadLetterCourier({
      ...this.engine,
      partitions: this.engine.connection.partitions,
      name: `baton:redis-reconcile:${name}:dead-letters`,
      consumer: this.consumer,
      reclaimMs: options.leaseMs,
      intervalMs: () => Math.min(this.cadence.intervalMs, COURIER_INTERVAL_MS),
    });
  }

  /** At most one line a second: everything fails at once when Redis is away. */
  private warn(message: string, error: unknown): void {
    const now = this.engine.clock.monotonic();
    if (now - this.lastWarningAt < 1000) return;
    this.lastWarningAt = now;
    this.engine.logger.warn(message, { error: describeError(error) });
  }
}
