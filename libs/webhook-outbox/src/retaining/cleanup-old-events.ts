import { adaptTransaction, OptionsCheck, quoteIdentifier, type TransactionLike } from '@nest-baton/core';
import { resolveRetention, type RetentionOptions } from './retention.options.js';
import { FIRST_EVENT, FIRST_LINE, RetentionStore } from './retention-store.js';
import { isBigintText, isUuid } from '../deliveries/delivery-filter.js';

export interface CleanupOptions {
  /** Default `'baton'`. */
  readonly schema?: string;
  /** Default: that of the module. */
  readonly retention?: RetentionOptions;
  /** Deliveries, and events to look at. Default 500, at most 10 000. */
  readonly limit?: number;
  /** `cursor` of the call before. */
  readonly cursor?: string;
}

export interface CleanedUp {
  /** Parked deliveries that have become `expired`. */
  readonly expired: number;
  /** Removed, with their attempts. */
  readonly deliveries: number;
  readonly events: number;
  /** For the next call; undefined when all was looked at. */
  readonly cursor: string | undefined;
  /** There is more to do, by another call with `cursor`, better in another transaction. */
  readonly isMore: boolean;
}

/**
 * Removes a batch of what has been kept for as long as `retention` says, for those who run a queue of their own without the module, which does the
 * same by itself. Skips what another cleanup or a replay has under its hands.
 *
 * @throws NotInTransactionError | OptionsInvalidError
 */
export async function cleanupOldEvents(transaction: TransactionLike, options: CleanupOptions = {}): Promise<CleanedUp> {
  const check = new OptionsCheck<CleanupOptions>('cleanupOldEvents', options, [
    'schema',
    'retention',
    'limit',
    'cursor',
  ]);
  const schema = check.string('schema', 'baton');
  const limit = check.integer('limit', 500, { min: 1, max: 10_000 });
  const after = placeOf(check.string('cursor', cursorOf(FIRST_PLACE) ?? ''));
  if (after === undefined) check.problem('cursor must be that of the call before');
  const retention = resolveRetention(options?.retention, (problem) => check.problem(problem));
  check.finish();
  const store = new RetentionStore(await adaptTransaction(transaction), quoteIdentifier(schema), retention);
  const expired = await store.expire(limit);
  const removed = await store.remove(limit);
  const { event, line } = after ?? FIRST_PLACE;
  const lone = event === undefined ? NONE : await store.removeLone(event, limit);
  const lines = line === undefined ? NONE : await store.removeLines(line, limit);
  const cursor = cursorOf({ event: lone.next, line: lines.next });
  return {
    expired,
    deliveries: Object.values(removed.deliveries).reduce((sum, count) => sum + count, 0),
    events: removed.events + lone.events,
    cursor,
    isMore: expired === limit || removed.isMore || cursor !== undefined,
  };
}

/** Where pages of events and of lines begin; undefined: all were looked at. */
interface Place {
  readonly event: string | undefined;
  readonly line: string | undefined;
}

const FIRST_PLACE: Place = { event: FIRST_EVENT, line: FIRST_LINE };

const NONE = { next: undefined, events: 0 };

function cursorOf({ event, line }: Place): string | undefined {
  return event === undefined && line === undefined ? undefined : `${event ?? ''}.${line ?? ''}`;
}

function placeOf(cursor: string): Place | undefined {
  const [event = '', line = '', ...more] = cursor.split('.');
  const isKnown = (event === '' || isUuid(event)) && (line === '' || line === FIRST_LINE || isBigintText(line));
  if (!isKnown || more.length > 0) return undefined;
  return { event: event || undefined, line: line || undefined };
}
