import type { Queryable } from '@nest-baton/core';
import { EventConflictError } from '../webhook-outbox.errors.js';
import type { EventBatch, NewEvent, StoredEvent } from './event-batch.js';
import type { EventStore, KeyHolder } from './event-store.js';
import type { SentEvent } from './webhook-event.js';

interface Persisted {
  readonly event: NewEvent;
  readonly stored: StoredEvent;
  /** Who has the key, where the event was not inserted although somebody wants it. */
  readonly holder: KeyHolder | undefined;
}

/**
 * Stores a batch and tells what became of each given event, in order: one statement, and a second one where keys were taken.
 *
 * @throws EventConflictError when a key holds other content. In an open transaction nothing of the batch is left then; outside of one the
 * batch must be a single event.
 */
export async function persistEvents(
  store: EventStore,
  on: Queryable,
  batch: EventBatch,
  trace: string | null,
): Promise<readonly SentEvent[]> {
  const stored = await store.insert(on, batch.events, trace);
  const all = await withHolders(store, on, batch, stored);
  const conflict = conflictOf(batch, all);
  if (conflict === undefined)
    return batch.places.map(({ nth, isRepetition }) => sentOf(all[nth] as Persisted, isRepetition));
  const inserted = all.filter((one) => one.stored.wasInserted).map(({ event }) => event.outboxId);
  if (inserted.length > 0) await store.remove(on, inserted);
  throw conflict;
}

async function withHolders(
  store: EventStore,
  on: Queryable,
  { events }: EventBatch,
  stored: readonly StoredEvent[],
): Promise<readonly Persisted[]> {
  const taken = events.filter((_, nth) => isTaken(stored[nth] as StoredEvent));
  const holders = taken.length === 0 ? [] : await store.find(on, taken);
  const holderOf = new Map(taken.map((event, nth) => [event, holders[nth]]));
  return events.map((event, nth) => ({ event, stored: stored[nth] as StoredEvent, holder: holderOf.get(event) }));
}

function isTaken({ wasInserted, isTaken: isSeen, subscribers }: StoredEvent): boolean {
  return !wasInserted && (isSeen || subscribers > 0);
}

/** Of several the one that says most: other content, which also keeps the rest of the batch from being inserted, comes first. */
function conflictOf({ places, isList }: EventBatch, all: readonly Persisted[]): EventConflictError | undefined {
  const other = all.findIndex(
    ({ event, holder }) => holder !== undefined && !holder.contentHash.equals(event.contentHash),
  );
  const unseen = all.findIndex(({ stored, holder }) => isTaken(stored) && holder === undefined);
  const nth = other >= 0 ? other : unseen;
  if (nth < 0) return undefined;
  const index = isList ? places.findIndex((place) => place.nth === nth) : undefined;
  const at = index === undefined ? '' : `events[${index}]: `;
  const key = all[nth]?.event.key ?? '';
  if (other >= 0)
    return new EventConflictError(
      `${at}Event ${key} is stored already with another type or other data; use another id.`,
      index === undefined ? {} : { index },
    );
  // Only when the winner was deleted in between, or is outside the snapshot of a stricter isolation level.
  return new EventConflictError(`${at}Event ${key} was stored by another transaction that this one cannot see.`, {
    retryable: true,
    ...(index === undefined ? {} : { index }),
  });
}

function sentOf({ event, stored, holder }: Persisted, isRepetition: boolean): SentEvent {
  const { key: id, outboxId } = event;
  if (holder !== undefined)
    return { id, outboxId: holder.outboxId, deliveries: holder.deliveries, duplicate: true, state: 'persisted' };
  if (!stored.wasInserted) return { id, outboxId: null, deliveries: 0, duplicate: false, state: 'nobody_subscribed' };
  const deliveries = stored.hasFanOut ? null : stored.subscribers;
  return { id, outboxId, deliveries, duplicate: isRepetition, state: 'persisted' };
}
