import { BatonError, type Clock, sqlState, type TimeoutRegistry } from '@nest-baton/core';
import { EndpointStore } from '../endpoints/endpoint-store.js';
import type { KeyRing } from '../endpoints/key-ring.js';
import type { OutboxSpans } from '../operating/outbox-spans.js';
import type { SendOnceReporter } from '../operating/send-once-reporter.js';
import type { EventBatch, NewEvent } from '../producing/event-batch.js';
import type { SentEvent } from '../producing/webhook-event.js';
import type { OutboxDatabase } from '../schema/outbox-database.js';
import { TracedSender } from '../sending/traced-sender.js';
import type { ResolvedWebhookOutboxOptions } from '../webhook-outbox.options.js';
import { PersistUnknownError } from '../webhook-outbox.errors.js';
import type { QueuedWebhook } from '../queueing/webhook-queue.js';
import { DIRECT_CONNECTIONS, type DirectRequest, DirectRequests } from './direct-requests.js';
import { EndpointSnapshot, type SnapshotFacts } from './endpoint-snapshot.js';
import { RememberedIds } from './remembered-ids.js';

export interface SendOnceSetup {
  readonly name: string;
  readonly options: ResolvedWebhookOutboxOptions;
  readonly database: OutboxDatabase;
  readonly ring: KeyRing;
  readonly spans: OutboxSpans;
  readonly reporter: SendOnceReporter;
  readonly registry: TimeoutRegistry | undefined;
  /** Of a queue of the user's: resolves when it has taken the message, or to what went wrong. */
  readonly tellQueue: (message: QueuedWebhook) => Promise<{ readonly error: unknown } | undefined>;
}

/**
 * What becomes of events that cannot be stored.
 *
 * - Where relays send, one request is made to each endpoint that wanted the event a moment ago, in the background, and nothing stands for it: no row, no
 *   second attempt, nobody told but the log, the listeners and the instruments. Where a queue says what is sent, it is given the event itself.
 * - An event with an order key is never sent so, nor what is in one call with it: the caller gets the error.
 * - When that cannot be done either, for all of the call, nothing is done, and the caller gets the error.
 * - An event that may be stored all the same has the same `webhook-id` here and there, and so has one that is sent again from this process
 *   under its `id`.
 */
export class SendOnce {
  private readonly ids = new RememberedIds();
  private readonly snapshot: EndpointSnapshot;
  private readonly requests: DirectRequests;
  private readonly isQueued: boolean;

  constructor(
    private readonly setup: SendOnceSetup,
    private readonly clock: Clock,
  ) {
    const { name, options, database, ring, spans, reporter, registry } = setup;
    this.isQueued = options.dispatch === 'queue';
    this.snapshot = new EndpointSnapshot(name, new EndpointStore(database, database.schema), reporter, registry, clock);
    const sender = new TracedSender({ ...options, maxConnections: DIRECT_CONNECTIONS }, clock, spans);
    this.requests = new DirectRequests(sender, ring, clock, reporter.onEnded);
  }

  /** Takes the first snapshot; that it fails is no reason not to start. */
  async open(): Promise<void> {
    if (this.isQueued) return;
    await this.snapshot.runOnce().catch((error: unknown) => this.setup.reporter.onFailed(error));
    this.snapshot.start();
  }

  async stopLooking(): Promise<void> {
    await this.snapshot.stop();
  }

  async close(): Promise<void> {
    await this.requests.stop(this.setup.options.shutdownTimeoutMs);
  }

  /** Undefined where a queue is told instead. */
  facts(): SnapshotFacts | undefined {
    return this.isQueued ? undefined : this.snapshot.facts();
  }

  get snapshotAgeSeconds(): number | undefined {
    const ageMs = this.facts()?.ageMs ?? undefined;
    return ageMs === undefined ? undefined : ageMs / 1_000;
  }

  /** The batch under the names that its events had when they could not be stored. */
  named(batch: EventBatch): EventBatch {
    return { ...batch, events: this.ids.named(batch.events) };
  }

  /** Their names are needed no longer. */
  stored(batch: EventBatch): void {
    this.ids.forget(batch.events);
  }

  /** What the call comes to; undefined: the error. */
  async insteadOf(error: unknown, batch: EventBatch, trace: string | null): Promise<readonly SentEvent[] | undefined> {
    // What has a key would be sent before events of the key that are stored and wait.
    if (!isPersistFailure(error) || batch.events.some(({ orderKey }) => orderKey !== null)) return undefined;
    const endpoints = this.isQueued ? await this.giveToQueue(batch.events) : this.request(batch.events, trace);
    if (endpoints === undefined) return undefined;
    this.ids.remember(batch.events);
    this.setup.reporter.unconfirmed(batch.events, endpoints, this.facts()?.ageMs ?? null, error);
    // It may be stored, so nobody is told that it is not: the caller repeats it under its id.
    if (error instanceof PersistUnknownError) return undefined;
    return batch.places.map(({ nth, isRepetition }) => {
      const { key: id } = batch.events[nth] as NewEvent;
      const deliveries = endpoints[nth] ?? null;
      return { id, outboxId: null, deliveries, duplicate: isRepetition, state: 'unconfirmed' };
    });
  }

  /** How many endpoints each event is sent to. */
  private request(events: readonly NewEvent[], trace: string | null): readonly number[] | undefined {
    const { snapshot } = this;
    const readAt = snapshot.usableFrom;
    if (readAt === undefined) return undefined;
    const byEvent = events.map((event) =>
      snapshot
        .subscribers(event.tenant, event.type)
        .map((endpoint): DirectRequest => ({ event, endpoint, readAt, trace })),
    );
    return this.requests.offer(byEvent.flat()) ? byEvent.map(({ length }) => length) : undefined;
  }

  private async giveToQueue(events: readonly NewEvent[]): Promise<readonly null[] | undefined> {
    for (const { key: id, type, tenant, body } of events) {
      const { data } = JSON.parse(body) as { data: unknown };
      if ((await this.setup.tellQueue({ id, type, tenant, data })) !== undefined) return undefined;
    }
    return events.map(() => null);
  }
}

/** The event is sound, and the database could not take it. What it refuses for its content (classes 22 and 23) it would refuse again. */
export function isPersistFailure(error: unknown): boolean {
  if (error instanceof PersistUnknownError) return true;
  const state = sqlState(error) ?? '';
  return !(error instanceof BatonError) && !state.startsWith('22') && !state.startsWith('23');
}
