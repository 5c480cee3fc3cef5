import {
  adaptTransaction,
  describeError,
  type Duration,
  OptionsCheck,
  OptionsInvalidError,
  quoteIdentifier,
  systemClock,
  type TransactionLike,
} from '@nest-baton/core';
import { isBigintText, isUuid } from '../deliveries/delivery-filter.js';
import { sanitisedText } from '../outcomes/sanitised-text.js';
import { singleEvent } from '../producing/event-batch.js';
import { EventStore } from '../producing/event-store.js';
import { persistEvents } from '../producing/persist-events.js';
import type { SentEvent, WebhookEvent } from '../producing/webhook-event.js';
import { type ClaimedEvent, HandOffStore } from './hand-off-store.js';
import { checkDelay } from './sweep-delay.js';

/** Where the tables are, and how the module that sends is configured. */
export interface EventTables {
  /** Default `'baton'`. */
  readonly schema?: string;
  /** Default 256 KiB. */
  readonly maxPayloadBytes?: number;
  /** When a sweep may first find an event, and find it again after `completeEvent`. Default 30 s. */
  readonly handOffGrace?: Duration;
}

export interface ClaimOptions extends EventTables {
  /** Events. Default 100, at most 1 000. */
  readonly limit?: number;
  /** How long nobody else claims them. Default 60 s, at most 24 h. */
  readonly lease?: Duration;
}

/*
 * The building blocks of the module, for those who run a queue of their own without it: in any open transaction on the database, a `pg`
 * client's too. A claim ends with its lease, not with its transaction. The three that settle a claim say whether its lease was still yours;
 * none touches a delivery that somebody sends at this moment. Each throws NotInTransactionError where no transaction is open, and
 * OptionsInvalidError.
 */

/**
 * Stores an event and its deliveries, and a hand-off for the sweep. Tells nobody: put `outboxId` into your queue after the commit.
 *
 * @throws EventInvalidError | PayloadTooLargeError | EventConflictError
 */
export async function enqueueEvent(
  transaction: TransactionLike,
  event: WebhookEvent,
  tables: EventTables = {},
): Promise<SentEvent> {
  const { schema, maxPayloadBytes, graceMs } = read('enqueueEvent', tables);
  const batch = singleEvent(event, systemClock.now(), maxPayloadBytes);
  const adapted = await adaptTransaction(transaction);
  const [sent] = await persistEvents(new EventStore(schema, graceMs), adapted, batch, null);
  return sent as SentEvent;
}

/** Takes the sweep lease of events with a delivery that is due and in nobody's hands. Counts no attempt. */
export async function claimDueEvents(
  transaction: TransactionLike,
  options: ClaimOptions = {},
): Promise<readonly ClaimedEvent[]> {
  const { schema, limit, leaseMs, graceMs } = read('claimDueEvents', options);
  const { events } = await (await storeOn(transaction, schema)).sweep(limit, leaseMs, graceMs);
  return events;
}

/** The event is dealt with: found again after `handOffGrace` while a delivery of it is open, and never when none is. */
export async function completeEvent(
  transaction: TransactionLike,
  claimed: ClaimedEvent,
  tables: EventTables = {},
): Promise<boolean> {
  const { schema, graceMs } = read('completeEvent', tables);
  checkClaim('completeEvent', claimed);
  return (await storeOn(transaction, schema)).complete(claimed, graceMs);
}

/** Gives the event up: each open delivery that nobody sends at this moment is dead, reason `given-up`. */
export async function failEvent(
  transaction: TransactionLike,
  claimed: ClaimedEvent,
  error: unknown,
  tables: EventTables = {},
): Promise<boolean> {
  const { schema } = read('failEvent', tables);
  checkClaim('failEvent', claimed);
  const store = await storeOn(transaction, schema);
  return (await store.fail(claimed, sanitisedText(describeError(error)))) !== undefined;
}

/** The event is found again after `delay`, at most 365 days. */
export async function rescheduleEvent(
  transaction: TransactionLike,
  claimed: ClaimedEvent,
  delay: Duration,
  tables: EventTables = {},
): Promise<boolean> {
  const { schema } = read('rescheduleEvent', tables);
  checkClaim('rescheduleEvent', claimed);
  const ms = checkDelay('rescheduleEvent', delay);
  return (await storeOn(transaction, schema)).reschedule(claimed, ms);
}

async function storeOn(transaction: TransactionLike, schema: string): Promise<HandOffStore> {
  return new HandOffStore(await adaptTransaction(transaction), schema);
}

/** Before the database refuses it, which would end the caller's transaction. */
function checkClaim(subject: string, claimed: ClaimedEvent | undefined): void {
  if (!isUuid(claimed?.outboxId) || !isBigintText(claimed?.fence))
    throw new OptionsInvalidError(subject, ['claimed must be an event that claimDueEvents returned']);
}

const KNOWN = ['schema', 'maxPayloadBytes', 'handOffGrace', 'limit', 'lease'] as const;

function read(subject: string, options: ClaimOptions) {
  const check = new OptionsCheck<ClaimOptions>(subject, options, KNOWN);
  const found = {
    schema: quoteIdentifier(check.string('schema', 'baton')),
    maxPayloadBytes: check.integer('maxPayloadBytes', 256 * 1024, { min: 1_024, max: 16 * 1024 * 1024 }),
    graceMs: check.duration('handOffGrace', '30s', { max: 86_400_000 }),
    limit: check.integer('limit', 100, { min: 1, max: 1_000 }),
    leaseMs: check.duration('lease', '60s', { min: 1, max: 86_400_000 }),
  };
  check.finish();
  return found;
}
