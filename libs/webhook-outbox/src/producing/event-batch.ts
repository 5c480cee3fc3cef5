import { EventConflictError, EventInvalidError, PayloadTooLargeError } from '../webhook-outbox.errors.js';
import { type EventText, eventText } from './event-text.js';
import { timeOrderedUuid } from './time-ordered-uuid.js';
import type { WebhookEvent } from './webhook-event.js';

/** An event that waits to be stored. */
export interface NewEvent extends EventText {
  readonly outboxId: string;
  /** Its dedupe key: the caller's `id`, or one made here. */
  readonly key: string;
}

/** What storing an event found or made. */
export interface StoredEvent {
  readonly wasInserted: boolean;
  /** An event under its key was visible to the statement. */
  readonly isTaken: boolean;
  /** Endpoints that want it; of an inserted event each has a delivery, unless a relay is to make some. */
  readonly subscribers: number;
  /** More than `MOST_AT_ONCE` want it. */
  readonly hasFanOut: boolean;
}

/** Events of one call, each key once. */
export interface EventBatch {
  /** Errors tell which event they are about. */
  readonly isList: boolean;
  readonly events: readonly NewEvent[];
  /** For each given event, which of `events` it is, and whether an earlier one of the call is the same. */
  readonly places: readonly { readonly nth: number; readonly isRepetition: boolean }[];
}

/** Events of one `sendMany`: one statement, so one bound on its time. */
export const MAX_BATCH_EVENTS = 1_000;

/** Bodies of one `sendMany` together: they are in memory several times while the statement is on its way. */
export const MAX_BATCH_BYTES = 16 * 1024 * 1024;

function newEvent(event: WebhookEvent, now: number, maxPayloadBytes: number): NewEvent {
  const text = eventText(event, now, maxPayloadBytes);
  const outboxId = timeOrderedUuid(now);
  return { ...text, outboxId, key: event.id ?? `evt_${outboxId.replaceAll('-', '')}` };
}

/** @throws EventInvalidError | PayloadTooLargeError */
export function singleEvent(event: WebhookEvent, now: number, maxPayloadBytes: number): EventBatch {
  return {
    isList: false,
    events: [newEvent(event, now, maxPayloadBytes)],
    places: [{ nth: 0, isRepetition: false }],
  };
}

/**
 * Fixes everything that is stored of several events; an id that is there twice with the same content is stored once.
 *
 * @throws EventInvalidError | PayloadTooLargeError | EventConflictError with the index of the first event that is to blame.
 */
export function eventBatch(given: readonly WebhookEvent[], now: number, maxPayloadBytes: number): EventBatch {
  if (!Array.isArray(given)) throw new EventInvalidError('events must be a list.');
  if (given.length > MAX_BATCH_EVENTS)
    throw new EventInvalidError(
      `${given.length} events are more than one call takes (${MAX_BATCH_EVENTS}); split them.`,
    );
  const events: NewEvent[] = [];
  const places: { nth: number; isRepetition: boolean }[] = [];
  const known = new Map<string, number>();
  let bytes = 0;
  // A hole is an event that is refused.
  Array.from(given).forEach((event: WebhookEvent, index) => {
    const one = atIndex(index, () => newEvent(event, now, maxPayloadBytes));
    const name = `${one.tenant}\0${one.key}`;
    const earlier = known.get(name);
    const nth = earlier ?? events.push(one) - 1;
    if (earlier === undefined) bytes += Buffer.byteLength(one.body);
    else if (!one.contentHash.equals((events[nth] as NewEvent).contentHash))
      throw new EventConflictError(`events[${index}]: id ${one.key} is in the list already, with other content.`, {
        index,
      });
    known.set(name, nth);
    places.push({ nth, isRepetition: earlier !== undefined });
    if (events.length > 1 && bytes > MAX_BATCH_BYTES)
      throw new PayloadTooLargeError(
        `events[${index}]: with it the bodies of the call are longer than ${MAX_BATCH_BYTES} bytes; split the list.`,
        { index },
      );
  });
  return { isList: true, events, places };
}

/** Says which event of the list an error is about. */
function atIndex<T>(index: number, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof EventInvalidError || error instanceof PayloadTooLargeError) {
      const { message, cause } = error;
      const Class = error instanceof EventInvalidError ? EventInvalidError : PayloadTooLargeError;
      throw new Class(`events[${index}]: ${message}`, { cause, index });
    }
    throw error;
  }
}

/** As parameters: lists beside each other. */
export function columnsOf(events: readonly NewEvent[]): unknown[] {
  const of = <T>(read: (event: NewEvent) => T): T[] => events.map(read);
  return [
    of(({ outboxId }) => outboxId),
    of(({ tenant }) => tenant),
    of(({ key }) => key),
    of(({ type }) => type),
    of(({ body }) => body),
    of(({ contentHash }) => contentHash),
  ];
}
