import {
  type Clock,
  describeError,
  OptionsCheck,
  OptionsInvalidError,
  systemClock,
  systemRandom,
  type TimeoutRegistry,
} from '@nest-baton/core';
import { within } from '../delivering/drain.js';
import type { Relay } from '../delivering/relay.js';
import type { DeliveryReporter } from '../operating/delivery-reporter.js';
import { sanitisedText } from '../outcomes/sanitised-text.js';
import type { NewEvent } from '../producing/event-batch.js';
import type { OutboxDatabase } from '../schema/outbox-database.js';
import type { ResolvedWebhookOutboxOptions } from '../webhook-outbox.options.js';
import { NoRelayError } from '../webhook-outbox.errors.js';
import { ClaimsUnderWay } from '../consuming/claims-under-way.js';
import { ConsumedStore } from '../consuming/consumed-store.js';
import type { DeliverySummary } from '../consuming/delivery-summary.js';
import { EventDeliverer } from '../consuming/event-deliverer.js';
import { type ClaimedEvent, HandOffStore } from '../sweeping/hand-off-store.js';
import { HandOver } from './hand-over.js';
import { checkDelay } from '../sweeping/sweep-delay.js';
import type { SweepOptions, SweptEvent } from '../sweeping/swept-event.js';
import { Sweeper } from '../sweeping/sweeper.js';
import type { Claims } from '../claiming/claim-store.js';
import { ClaimsByLimit } from '../claiming/claims-by-limit.js';
import { LimitedWanted, WantedClaims } from '../consuming/wanted-claims.js';
import type { QueuedWebhook, WebhookQueue } from './webhook-queue.js';

export interface QueueingSetup {
  readonly name: string;
  readonly options: ResolvedWebhookOutboxOptions;
  readonly database: OutboxDatabase;
  readonly reporter: DeliveryReporter;
  readonly registry: TimeoutRegistry | undefined;
  /** Throws when there is none. */
  readonly findQueue: () => unknown;
}

const DEFAULT_SWEEP = 100;
const MOST_SWEPT = 1_000;
const LONGEST_SWEEP_MS = 86_400_000;

/** For what has nothing left to wait for but a statement, or a queue, that may never answer. */
const CLOSE_TIMEOUT_MS = 1_000;

/** What an external queue and the module have to do with each other. */
export class Queueing {
  /** Of the relay, by the hooks of which it is told. */
  readonly underWay = new ClaimsUnderWay();
  /** What the relay may claim; undefined: whatever is due. */
  readonly claims: Claims | undefined;
  private readonly wanted: WantedClaims | undefined;
  private readonly store: HandOffStore;
  private readonly consumed: ConsumedStore;
  private handOver: HandOver | undefined;
  private sweeper: Sweeper | undefined;
  private deliverer: EventDeliverer | undefined;

  constructor(
    private readonly setup: QueueingSetup,
    private readonly clock: Clock = systemClock,
  ) {
    const { database, options } = setup;
    this.store = new HandOffStore(database, database.schema);
    this.consumed = new ConsumedStore(database, database.schema);
    this.wanted = options.dispatch === 'queue' ? new WantedClaims(database, database.schema) : undefined;
    this.claims =
      this.wanted && new ClaimsByLimit(this.wanted, new LimitedWanted(database, database.schema, this.wanted));
  }

  /** Since the last sweep that succeeded; 0 where none runs. */
  get sinceSweepMs(): number {
    return this.sweeper?.sinceLookMs ?? 0;
  }

  /** @throws OptionsInvalidError when events should go to a queue and there is none. */
  open(relay: Relay | undefined): void {
    const { name, options, reporter, registry } = this.setup;
    if (relay !== undefined) {
      const parts = { store: this.consumed, wanted: this.wanted, underWay: this.underWay, look: () => relay.runOnce() };
      this.deliverer = new EventDeliverer(options, parts, this.clock);
    }
    if (options.dispatch !== 'queue') return;
    const handOver = new HandOver(this.queue(), options.handOffGraceMs, reporter.handOffs);
    this.handOver = handOver;
    if (relay === undefined) return;
    const parts = { store: this.store, consumed: this.consumed, handOver };
    const hooks = {
      onSwept: (n: number) => reporter.handOffs.onSwept(n),
      onPollFailed: (e: unknown) => reporter.pollFailed(e),
    };
    this.sweeper = new Sweeper(name, options, parts, hooks, registry, this.clock, systemRandom);
  }

  start(): void {
    this.sweeper?.start();
  }

  /** Events of this process are visible to every connection. */
  committed(events: readonly Pick<NewEvent, 'outboxId' | 'key' | 'type' | 'tenant'>[]): void {
    if (this.setup.options.hints === 'off') return;
    for (const { outboxId, key: id, type, tenant } of events) this.handOver?.hint({ outboxId, id, type, tenant });
  }

  /** The event itself, which could not be stored: resolves when the queue has taken it, or to what went wrong. */
  async give(message: QueuedWebhook): Promise<{ readonly error: unknown } | undefined> {
    return this.handOver === undefined ? { error: undefined } : this.handOver.tell(message);
  }

  /** Deliveries of events that were sent before are due again. */
  dueAgain(): void {
    this.sweeper?.lookForAll();
  }

  async deliver(outboxId: string): Promise<DeliverySummary> {
    if (this.deliverer === undefined)
      throw new NoRelayError(`deliver needs role 'all' or 'worker'; this process is a '${this.setup.options.role}'.`);
    return this.deliverer.deliver(outboxId);
  }

  async sweepPending(options?: SweepOptions): Promise<readonly SweptEvent[]> {
    const { handOffGraceMs } = this.setup.options;
    const check = new OptionsCheck<SweepOptions>('sweepPendingEvents', options, ['limit', 'lease']);
    const limit = check.integer('limit', DEFAULT_SWEEP, { min: 1, max: MOST_SWEPT });
    const leaseMs = check.duration('lease', handOffGraceMs, { min: 1, max: LONGEST_SWEEP_MS });
    check.finish();
    const swept: ClaimedEvent[] = [];
    for (;;) {
      const left = limit - swept.length;
      const { looked, events } = await this.store.sweep(left, leaseMs, handOffGraceMs);
      swept.push(...events);
      if (looked < left || swept.length >= limit) return swept.map((event) => this.withCallbacks(event));
    }
  }

  /** Stops the sweep: before the relay. */
  async stopSweeping(): Promise<void> {
    await within(CLOSE_TIMEOUT_MS, this.sweeper?.stop());
  }

  /** Ends calls of `deliver`: after the relay has ended. */
  async stopDelivering(): Promise<void> {
    await within(CLOSE_TIMEOUT_MS, this.deliverer?.stop());
  }

  /** Waits a little for a queue that is being told. */
  async close(): Promise<void> {
    await this.handOver?.stop(CLOSE_TIMEOUT_MS);
  }

  private withCallbacks(event: ClaimedEvent): SweptEvent {
    const { store } = this;
    const { reporter, options } = this.setup;
    return {
      ...event,
      complete: () => store.complete(event, options.handOffGraceMs),
      fail: async (error) => {
        const dead = await store.fail(event, sanitisedText(describeError(error)));
        for (const delivery of dead ?? []) reporter.reclaimedDead(delivery);
        return dead !== undefined;
      },
      reschedule: async (error, delay) => {
        const ms = checkDelay('reschedule', delay);
        reporter.handOffs.onRescheduled(event.outboxId, error);
        return store.reschedule(event, ms);
      },
    };
  }

  private queue(): WebhookQueue {
    let found: unknown;
    try {
      found = this.setup.findQueue();
    } catch (error) {
      throw noQueue(`the provider given as queue cannot be had: ${describeError(error)}`);
    }
    if (found === undefined)
      throw noQueue("dispatch 'queue' needs the extra `queue`: the class or token of your WebhookQueue");
    if (!isQueue(found)) throw noQueue('the provider given as queue has no method send; extend WebhookQueue');
    return found;
  }
}

function isQueue(found: unknown): found is WebhookQueue {
  return typeof found === 'object' && found !== null && 'send' in found && typeof found.send === 'function';
}

function noQueue(problem: string): OptionsInvalidError {
  return new OptionsInvalidError('WebhookOutboxModule', [problem]);
}
