import {
  type AdaptedTransaction,
  adaptTransaction,
  type Clock,
  describeError,
  NotInTransactionError,
  type Queryable,
  randomToken,
  sqlState,
  type TransactionLike,
} from '@nest-baton/core';
import { type OutboxDatabase, runQuery } from '../schema/outbox-database.js';
import { EventConflictError, PersistUnknownError } from '../webhook-outbox.errors.js';
import { EventStore } from './event-store.js';
import { type EventText, eventText } from './event-text.js';
import { timeOrderedUuid } from './time-ordered-uuid.js';
import type { SendOptions, SentEvent, WebhookEvent } from './webhook-event.js';

/**
 * Makes events durable.
 *
 * - Outside a transaction `send` resolves when the event is committed; with one, the event is part of it and of nothing else.
 * - Repeating a `send` under the same id is safe: it reports a duplicate, or a conflict when the content differs. Neither breaks the
 *   caller's transaction.
 * - `onCommitted` is called after the commit that made the event visible, never before and never after a rollback.
 */
export class EventProducer {
  private readonly store: EventStore;

  constructor(
    private readonly database: OutboxDatabase,
    private readonly maxPayloadBytes: number,
    private readonly clock: Clock,
    private readonly onCommitted: () => void,
  ) {
    this.store = new EventStore(database.schema);
  }

  async send(event: WebhookEvent, options: SendOptions = {}): Promise<SentEvent> {
    const text = eventText(event, this.clock.now(), this.maxPayloadBytes);
    const key = event.id ?? `evt_${randomToken(26)}`;
    await this.database.prepare();
    if (options.transaction !== undefined) return this.sendWithin(options.transaction, key, text);
    const sent = await this.sendAlone(key, text);
    if (isNew(sent)) this.onCommitted();
    return sent;
  }

  private async sendWithin(transaction: TransactionLike, key: string, text: EventText): Promise<SentEvent> {
    const adapted = await this.adapt(transaction);
    const sent = await this.persist(adapted, key, text);
    if (isNew(sent)) adapted.afterCommit(this.onCommitted);
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

  private sendAlone(key: string, text: EventText): Promise<SentEvent> {
    return this.database.withRunner(async (runner) => {
      const on: Queryable = { query: (sql, values) => runQuery(runner, sql, values) };
      try {
        return await this.persist(on, key, text);
      } catch (error) {
        if (!isOutcomeUnknown(error)) throw error;
        throw new PersistUnknownError(
          `The connection was lost while event ${key} was being stored (${describeError(error)}); repeat send with this id.`,
          key,
          { cause: error },
        );
      }
    });
  }

  private async persist(on: Queryable, key: string, text: EventText): Promise<SentEvent> {
    const stored = await this.store.insert(on, timeOrderedUuid(this.clock.now()), key, text);
    if (stored.wasInserted)
      return {
        id: key,
        outboxId: stored.outboxId,
        deliveries: stored.deliveries,
        duplicate: false,
        state: 'persisted',
      };
    if (stored.outboxId === null && stored.subscribers === 0)
      return { id: key, outboxId: null, deliveries: 0, duplicate: false, state: 'nobody_subscribed' };
    return this.explainTaken(on, key, text);
  }

  private async explainTaken(on: Queryable, key: string, text: EventText): Promise<SentEvent> {
    const winner = await this.store.find(on, text.tenant, key);
    // Only when the winner was deleted in between, or is outside the snapshot of a stricter isolation level.
    if (winner === undefined)
      throw new EventConflictError(`Event ${key} was stored by another transaction that this one cannot see.`, {
        retryable: true,
      });
    if (!winner.contentHash.equals(text.contentHash))
      throw new EventConflictError(`Event ${key} is stored already with another type or other data; use another id.`);
    return {
      id: key,
      outboxId: winner.outboxId,
      deliveries: winner.deliveries,
      duplicate: true,
      state: 'persisted',
    };
  }
}

function isNew({ duplicate, state }: SentEvent): boolean {
  return !duplicate && state === 'persisted';
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
