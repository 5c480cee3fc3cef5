import { describeError, type GaugeReadings, SharedLook, ShuttingDownError, systemClock } from '@nest-baton/core';
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
import type { DeliverySummary } from './consuming/delivery-summary.js';
import { createRelay } from './delivering/create-relay.js';
import { within } from './delivering/drain.js';
import type { Relay } from './delivering/relay.js';
import { EndpointDirectory } from './endpoints/endpoint-directory.js';
import { EndpointStore } from './endpoints/endpoint-store.js';
import { KeyRing } from './endpoints/key-ring.js';
import { createFanOut } from './fanning-out/create-fan-out.js';
import type { FanOut } from './fanning-out/fan-out.js';
import { FanOutStore } from './fanning-out/fan-out-store.js';
import { DeliveryReporter } from './operating/delivery-reporter.js';
import { decideHealth, type WebhookOutboxHealth } from './operating/outbox-health.js';
import { type OutboxStats, statesOf } from './operating/outbox-stats.js';
import { OutboxSpans } from './operating/outbox-spans.js';
import { createPromoter } from './ordering/create-promoter.js';
import type { Promoter } from './ordering/promoter.js';
import { type CommittedEvents, EventProducer } from './producing/event-producer.js';
import type { SendOptions, SentEvent, WebhookEvent } from './producing/webhook-event.js';
import type { Cleaner } from './retaining/cleaner.js';
import { createCleaner } from './retaining/create-cleaner.js';
import { createSendOnce } from './sending-once/create-send-once.js';
import type { SendOnce } from './sending-once/send-once.js';
import { ReclaimStore } from './reclaiming/reclaim-store.js';
import { Queueing } from './queueing/queueing.js';
import { OutboxDatabase } from './schema/outbox-database.js';
import type { SweepOptions, SweptEvent } from './sweeping/swept-event.js';
import { DueSignal } from './waking/due-signal.js';
import { WakeUps } from './waking/wake-ups.js';
import type { WebhookOutboxEvents } from './webhook-outbox.events.js';
import type { WEBHOOK_OUTBOX_METRICS } from './webhook-outbox.metrics.js';
import { OUTBOX_NAME, OUTBOX_OPTIONS, OUTBOX_QUEUE } from './webhook-outbox.module-definition.js';
import type { ResolvedWebhookOutboxOptions } from './webhook-outbox.options.js';

/** A database that takes longer for one look into an index is of no use to anybody. */
const HEALTH_TIMEOUT_MS = 3_000;

/** For what has nothing left to wait for but a statement that the database may never answer. */
const CLOSE_TIMEOUT_MS = 1_000;

/**
 * Makes events durable and, where the role asks for it, sends them.
 *
 * - `send` works from the moment the application's modules are initialised until `onApplicationShutdown`.
 * - The relay starts with the application and ends in `beforeApplicationShutdown`, while the `DataSource` is still open.
 */
@Injectable()
export class WebhookOutboxService
  implements OnModuleInit, OnApplicationBootstrap, BeforeApplicationShutdown, OnApplicationShutdown
{
  private readonly logger: Logger;
  private readonly producer: EventProducer;
  private readonly queueing: Queueing;
  private readonly reclaims: ReclaimStore;
  private readonly lag: SharedLook<number>;
  private readonly wakeUps: WakeUps;
  private readonly directory: EndpointDirectory;
  private readonly relay: Relay | undefined;
  private readonly fanOuts: FanOutStore;
  private readonly fanOut: FanOut | undefined;
  private readonly promoter: Promoter;
  private readonly cleaner: Cleaner;
  private readonly sendOnce: SendOnce | undefined;
  private isShutDown = false;

  constructor(
    @Inject(OUTBOX_OPTIONS) private readonly options: ResolvedWebhookOutboxOptions,
    @Inject(OUTBOX_NAME) name: string,
    @Inject(OutboxDatabase) private readonly database: OutboxDatabase,
    @Inject(KeyRing) ring: KeyRing,
    @Inject(OUTBOX_QUEUE) findQueue: () => unknown,
    @Inject(DeliveryReporter) private readonly reporter: DeliveryReporter,
    @Inject(DueSignal) due: DueSignal,
    @Optional() @Inject(SchedulerRegistry) registry: SchedulerRegistry | undefined,
  ) {
    this.logger = new Logger(`WebhookOutbox:${name}`);
    this.reclaims = new ReclaimStore(database, database.schema);
    this.lag = new SharedLook(() => this.reclaims.lagMs());
    const endpoints = new EndpointStore(database, database.schema);
    this.directory = new EndpointDirectory(endpoints, ring, systemClock, (id, error) =>
      this.reporter.endpoints.unusable(id, error),
    );
    const { reclaims, directory } = this;
    const setup = { name, options, database, directory, reclaims, reporter, registry };
    this.queueing = new Queueing({ ...setup, findQueue });
    const { claims, underWay } = this.queueing;
    const spans = new OutboxSpans(name);
    const onFanOutDue = (): void => this.fanOut?.notify();
    const hasRelay = options.role !== 'producer';
    const { queueing } = this;
    const wakeUps = (): WakeUps => this.wakeUps;
    const promoter = createPromoter({ database, reporter, queueing, wakeUps });
    this.promoter = promoter;
    this.relay = hasRelay ? createRelay({ ...setup, claims, underWay, spans, promoter, onFanOutDue }) : undefined;
    this.fanOuts = new FanOutStore(database, database.schema, handOffGraceOf(options));
    const { fanOuts: store } = this;
    const { leaseMs } = options;
    this.fanOut = hasRelay ? createFanOut({ name, store, leaseMs, registry, reporter, queueing, wakeUps }) : undefined;
    this.cleaner = createCleaner(setup);
    this.wakeUps = new WakeUps(options, database, () => this.relay?.notify(), this.logger, {
      onListening: (reconnects) => this.reporter.listening(reconnects),
      onListenerLost: (error) => this.reporter.listenerLost(error),
    });
    due.listen({
      onDue: () => {
        this.wakeUps.committed();
        this.queueing.dueAgain();
        if (options.hints === 'on') promoter.lookForAll();
      },
      onOff: () => options.hints === 'on' && this.relay?.lookAside(),
    });
    const tellQueue = this.queueing.give.bind(this.queueing);
    this.sendOnce = createSendOnce({ ...setup, ring, spans, reporter: reporter.sendOnce, tellQueue });
    const onCommitted = this.committed.bind(this);
    this.producer = new EventProducer(database, options, systemClock, spans, onCommitted, this.sendOnce);
  }

  /**
   * Stores the event and a delivery for each subscribed endpoint, in one statement. Resolves when that is durable; with `transaction`, when it
   * is part of the caller's transaction.
   *
   * @throws EventInvalidError | PayloadTooLargeError when the event cannot be sent.
   * @throws EventConflictError when other content is stored under the id; the caller's transaction stays usable.
   * @throws NotInTransactionError when `transaction` has no open transaction, or is not on the module's `DataSource`.
   * @throws PersistUnknownError when the connection was lost meanwhile: repeat with the same id.
   * @throws ShuttingDownError once the application has shut down.
   */
  async send(event: WebhookEvent, options?: SendOptions): Promise<SentEvent> {
    if (this.isShutDown) throw new ShuttingDownError('WebhookOutboxModule has shut down; the event was not stored.');
    const sent = await this.producer.send(event, options);
    this.reporter.sent(sent);
    return sent;
  }

  /**
   * Stores up to 1 000 events, together at most 16 MiB, in one statement: all or none. The results are in order, each as `send` would give it;
   * an event that is there twice is a duplicate the second time.
   *
   * @throws as `send`, nothing being stored then; errors about one event have its `index`. `PersistUnknownError` has the ids of all.
   */
  async sendMany(events: readonly WebhookEvent[], options?: SendOptions): Promise<readonly SentEvent[]> {
    if (this.isShutDown) throw new ShuttingDownError('WebhookOutboxModule has shut down; no event was stored.');
    const all = await this.producer.sendMany(events, options);
    for (const sent of all) this.reporter.sent(sent);
    return all;
  }

  /**
   * Sends what is due of the event now; for the consumer of a queue. Resolves when nothing more can be done here and now, whatever that came to:
   * the message is done with. Waits at most a `lease` for slots of busy endpoints.
   *
   * @throws NoRelayError in a process whose role is `producer`.
   * @throws ShuttingDownError when the process stops meanwhile, and whatever the database throws: let the queue bring the message again.
   */
  deliver(outboxId: string): Promise<DeliverySummary> {
    return this.queueing.deliver(outboxId);
  }

  /**
   * Claims events that should have been delivered by now, to hand them over to your queue again: those with a delivery that is due and in nobody's
   * hands, and that no sweep holds. Counts no attempt. The module does it by itself with `dispatch: 'queue'`.
   *
   * @throws OptionsInvalidError
   */
  async sweepPendingEvents(options?: SweepOptions): Promise<readonly SweptEvent[]> {
    await this.database.prepare();
    return this.queueing.sweepPending(options);
  }

  /** Reads the whole table of deliveries: for dashboards, not for each request. */
  async stats(): Promise<OutboxStats> {
    await this.database.prepare();
    const { lagMs, byState } = await this.reclaims.count();
    return {
      lagMs,
      byState: statesOf(byState),
      pendingFanOuts: await this.fanOuts.pending(),
      haltedLines: this.promoter.haltedLines,
      endpointSnapshot: this.sendOnce?.facts(),
      relay: this.relay?.stats(),
    };
  }

  /** Asks the database for the lag, and the relay of this process how it fares. Never rejects. */
  async health(): Promise<WebhookOutboxHealth> {
    // The DataSource may be closed by now, which is not the database's fault.
    if (this.isShutDown) return { state: 'down', reason: 'closed', message: 'the application has shut down' };
    let lagMs: number;
    try {
      lagMs = Math.round(await this.lag.within(HEALTH_TIMEOUT_MS));
    } catch (error) {
      return { state: 'down', reason: 'database', message: describeError(error) };
    }
    const { wakeUps, options, queueing } = this;
    const { pollIntervalMs } = options;
    const relay = this.relay?.facts();
    return decideHealth({
      relay: relay && { ...relay, sinceLookMs: Math.max(relay.sinceLookMs, queueing.sinceSweepMs) },
      listener: wakeUps.listener,
      pollIntervalMs,
      lagMs,
      haltedLines: this.promoter.haltedLines ?? 0,
    });
  }

  /** Listens to this instance, in this process; returns the function that stops listening. A listener that throws is logged. */
  on<Name extends keyof WebhookOutboxEvents>(
    event: Name,
    listener: (payload: WebhookOutboxEvents[Name]) => unknown,
  ): () => void {
    return this.reporter.events.on(event, listener);
  }

  async onModuleInit(): Promise<void> {
    this.queueing.open(this.relay);
    await this.database.prepare();
    if (this.relay !== undefined) await this.directory.verify();
    await this.sendOnce?.open();
    this.reporter.metrics.start(
      () => this.gauges(),
      async () => ({ lag: (await this.reclaims.lagMs()) / 1_000, 'fan_outs.pending': await this.fanOuts.pending() }),
    );
  }

  onApplicationBootstrap(): void {
    this.wakeUps.start();
    this.relay?.start();
    this.fanOut?.start();
    this.queueing.start();
    this.cleaner.start();
  }

  async beforeApplicationShutdown(): Promise<void> {
    await this.wakeUps.stopListening();
    await this.queueing.stopSweeping();
    const ended = within(
      CLOSE_TIMEOUT_MS,
      Promise.all([this.cleaner.stop(), this.fanOut?.stop(), this.sendOnce?.stopLooking()]),
    );
    if (this.relay !== undefined) this.reporter.stopped(await this.relay.drain());
    await this.queueing.stopDelivering();
    await within(CLOSE_TIMEOUT_MS, this.promoter.idle());
    await ended;
    // The question for the lag needs the DataSource, which may be closed from here on.
    await this.reporter.metrics.stop();
  }

  async onApplicationShutdown(): Promise<void> {
    this.isShutDown = true;
    await within(CLOSE_TIMEOUT_MS, this.promoter.stop());
    await this.sendOnce?.close();
    await this.queueing.close();
    await this.wakeUps
      .stop()
      .catch((error: unknown) => this.logger.warn('stopping failed', { error: describeError(error) }));
  }

  private committed({ ready, keyed, hasFanOut }: CommittedEvents): void {
    this.wakeUps.committed();
    this.queueing.committed(ready);
    if (this.options.hints === 'off') return;
    if (hasFanOut) this.fanOut?.notify();
    this.promoter.committed(keyed.map(({ outboxId }) => outboxId));
  }

  private gauges(): GaugeReadings<typeof WEBHOOK_OUTBOX_METRICS> {
    const relay = this.relay?.stats();
    return {
      'requests.in_flight': relay?.inFlight,
      'claims.buffered': relay?.buffered,
      'lines.halted': this.promoter.haltedLines,
      'endpoints.snapshot_age': this.sendOnce?.snapshotAgeSeconds,
      'outcomes.unsettled': relay?.unsettled,
    };
  }
}

/** Undefined where relays send whatever is due. */
function handOffGraceOf({ dispatch, handOffGraceMs }: ResolvedWebhookOutboxOptions): number | undefined {
  return dispatch === 'queue' ? handOffGraceMs : undefined;
}
