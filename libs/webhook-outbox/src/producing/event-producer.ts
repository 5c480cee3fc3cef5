import {
  type AdaptedTransaction,
  adaptTransaction,
  type Clock,
  describeError,
  NotInTransactionError,
  OptionsCheck,
  type Queryable,
  sqlState,
  type TransactionLike,
} from '@nest-baton/core';
import type { OutboxSpans } from '../operating/outbox-spans.js';
import { type OutboxDatabase, runQuery } from '../schema/outbox-database.js';
import type { ResolvedWebhookOutboxOptions } from '../webhook-outbox.options.js';
import { EventConflictError, PersistUnknownError } from '../webhook-outbox.errors.js';
import { type EventBatch, eventBatch, type NewEvent, singleEvent } from './event-batch.js';
import type { SendOnce } from '../sending-once/send-once.js';
import { EventStore } from './event-store.js';
import { persistEvents } from './persist-events.js';
import type { SendOptions, SentEvent, WebhookEvent } from './webhook-event.js';

export type ProducerOptions = Pick<ResolvedWebhookOutboxOptions, 'maxPayloadBytes' | 'dispatch' | 'handOffGraceMs'>;

export interface CommittedEvents {
  /** Their deliveries are made. */
  readonly ready: readonly NewEvent[];
  /** Those with an order key: the first of each line is to be made ready. */
  readonly keyed: readonly NewEvent[];
  /** The deliveries of some others wait to be made. */
  readonly hasFanOut: boolean;
}

/**
 * Makes events durable.
 *
 * - Outside a transaction `send` resolves when the event is committed; with one, the event is part of it and of nothing else.
 * - Repeating a `send` under the same id is safe: it reports a duplicate, or a conflict when the content differs. Neither breaks the
 *   caller's transaction.
 * - `sendMany` is all or nothing: an event that is refused, or that conflicts, leaves nothing of the others either.
 * - `onCommitted` is called after the commit that made events visible, never before and never after a rollback.
 */
export class EventProducer {
  private readonly store: EventStore;

  constructor(
    private readonly database: OutboxDatabase,
    private readonly options: ProducerOptions,
    private readonly clock: Clock,
    private readonly spans: OutboxSpans,
    private readonly onCommitted: (events: CommittedEvents) => void,
    private readonly sendOnce: SendOnce | undefined,
  ) {
    this.store = new EventStore(database.schema, options.dispatch === 'queue' ? options.handOffGraceMs : undefined);
  }

  async send(event: WebhookEvent, options: SendOptions = {}): Promise<SentEvent> {
    checkSendOptions(options);
    const batch = singleEvent(event, this.clock.now(), this.options.maxPayloadBytes);
    const [sent] = await this.spans.sending(event.type, undefined, (trace) => this.sendBatch(batch, trace, options));
    return sent as SentEvent;
  }

  async sendMany(events: readonly WebhookEvent[], options: SendOptions = {}): Promise<readonly SentEvent[]> {
    checkSendOptions(options);
    const batch = eventBatch(events, this.clock.now(), this.options.maxPayloadBytes);
    return this.spans.sending('many', events.length, (trace) => this.sendBatch(batch, trace, options));
  }

  private async sendBatch(
    given: EventBatch,
    trace: string | null,
    { transaction, onPersistFailure }: SendOptions,
  ): Promise<readonly SentEvent[]> {
    await this.database.prepare();
    const adapted = transaction === undefined ? undefined : await this.adapt(transaction);
    if (given.events.length === 0) return [];
    const batch = this.sendOnce?.named(given) ?? given;
    const isAlone = adapted === undefined;
    const sendOnce = onPersistFailure === undefined ? this.sendOnce : undefined;
    const sent = isAlone
      ? await this.sendAlone(batch, trace).catch(async (error: unknown) => {
          const instead = await sendOnce?.insteadOf(error, batch, trace);
          if (instead === undefined) throw error;
          return instead;
        })
      : await persistEvents(this.store, adapted, batch, trace);
    const stored = committedOf(batch, sent);
    if (stored.ready.length === 0 && !stored.hasFanOut) return sent;
    if (adapted === undefined) this.onCommitted(stored);
    else adapted.afterCommit(() => this.onCommitted(stored));
    return sent;
  }

  private async adapt(transaction: TransactionLike): Promise<AdaptedTransaction> {
    const adapted = await adaptTransaction(transaction);
    if (adapted.dataSource !== this.database.dataSource)
      throw new NotInTransactionError(
        adapted.dataSource === undefined
          ? 'transaction is a pg client; events are stored through the DataSource of WebhookOutboxModule, so pass an EntityManager or QueryRunner of it.'
          : 'transaction belongs to another DataSource than that of WebhookOutboxModule (see its dataSource option).',
      );
    return adapted;
  }

  /** One event is one statement. Several are a transaction: a conflict that only shows after the insert takes back the others. */
  private sendAlone(batch: EventBatch, trace: string | null): Promise<readonly SentEvent[]> {
    return this.database.withRunner(async (runner) => {
      const isOne = batch.events.length === 1;
      const on: Queryable = isOne
        ? this.database.repeatedOn(runner)
        : { query: (sql, values) => runQuery(runner, sql, values) };
      try {
        if (!isOne) await runner.startTransaction();
        const sent = await persistEvents(this.store, on, batch, trace);
        if (!isOne) await runner.commitTransaction();
        this.sendOnce?.stored(batch);
        return sent;
      } catch (error) {
        if (runner.isTransactionActive) await runner.rollbackTransaction().catch(() => undefined);
        throw isOutcomeUnknown(error) ? unknown(error, batch) : error;
      }
    });
  }
}

/** A transaction that is given as the options, or under a misspelt name, would be no part of anything. @throws OptionsInvalidError */
function checkSendOptions(options: SendOptions): void {
  new OptionsCheck<SendOptions>('send', options, ['transaction', 'onPersistFailure']).finish();
}

function unknown(cause: unknown, { events, places }: EventBatch): PersistUnknownError {
  const keys = places.map(({ nth }) => events[nth]?.key ?? '');
  const what = keys.length === 1 ? `event ${keys[0]} was` : `${keys.length} events were`;
  return new PersistUnknownError(
    `The connection was lost while ${what} being stored (${describeError(cause)}); repeat with the same id.`,
    keys,
    { cause },
  );
}

function committedOf({ events, places }: EventBatch, sent: readonly SentEvent[]): CommittedEvents {
  const isNew = ({ duplicate, state }: SentEvent): boolean => !duplicate && state === 'persisted';
  const stored = places.flatMap(({ nth }, i) =>
    isNew(sent[i] as SentEvent) ? [{ event: events[nth] as NewEvent, sent: sent[i] }] : [],
  );
  return {
    ready: stored.filter(({ sent: one }) => one?.deliveries !== null).map(({ event }) => event),
    keyed: stored.filter(({ event }) => event.orderKey !== null).map(({ event }) => event),
    hasFanOut: sent.some((one) => isNew(one) && one.deliveries === null),
  };
}

/**
 * The server's own refusal of a statement means that nothing was written. Everything else (a lost connection, the server's farewell in
 * classes 08 and 57P) may have come after the commit.
 */
function isOutcomeUnknown(error: unknown): boolean {
  if (error instanceof EventConflictError) return false;
  const state = sqlState(error);
  return state === undefined || state.startsWith('08') || state === '57P01' || state === '57P02';
}
