import { describeError, errorCode } from '@nest-baton/core';
import { HttpException, type Logger, type MessageEvent } from '@nestjs/common';
import { Observable, type Subscriber } from 'rxjs';
import type { EventsOptions } from '../reading/chunk.js';
import type { StreamReaders } from '../reading/stream-readers.js';
import type { StreamReading } from '../reading/stream-reading.js';
import { chunkBody, endBody } from '../sse/sse-frame.js';

/** Why a reading ends whose subscriber has left. */
const UNSUBSCRIBED = Symbol('unsubscribed');

/** HTTP: nothing to tell, and nothing to come back for. `EventSource` stops at it. */
const NO_CONTENT = 204;

/**
 * A stream as messages for `@Sse()`, with the same ids, types and data as the frames of `sse`.
 *
 * Nest cannot pause an Observable: it keeps what a client has not taken, and from Nest 12 on drops a client for which too much waits
 * (`maxPendingDataLength`); that client comes back with its last id and misses nothing. Each subscription is a reader of its own.
 *
 * @throws HttpException 204 when the stream is finished and `cursor` is the id of its end.
 * @throws CursorInvalidError or ShuttingDownError, while Nest can still answer with a status.
 */
export async function eventsOf(
  readers: StreamReaders,
  stream: string,
  { startIndex, cursor, signal, heartbeatMs }: EventsOptions & { readonly heartbeatMs: number },
  logger: Logger,
): Promise<Observable<MessageEvent>> {
  const options = {
    ...(cursor !== undefined ? { cursor } : startIndex !== undefined && { startIndex }),
    ...(signal !== undefined && { signal }),
  };
  // Checks the position also where nobody subscribes; a reading that has not begun holds nothing.
  readers.read(stream, options);
  readers.throwIfClosed(stream);
  if (cursor !== undefined && (await readers.isAllSeen(stream, cursor, signal)))
    throw new HttpException('the stream has ended, and all of it was seen', NO_CONTENT);
  return new Observable((subscriber) => {
    const reading = readers.read(stream, options);
    const heartbeat = startHeartbeat(subscriber, heartbeatMs);
    void emit(reading, subscriber, logger).finally(() => clearInterval(heartbeat));
    return () => {
      clearInterval(heartbeat);
      reading.stop(UNSUBSCRIBED);
    };
  });
}

/**
 * Completes without an `end` event when the stream cannot be read any further, so that the client comes back, elsewhere after a shutdown. An
 * error would become an event with an id of Nest's own, which no stream has given and with which the client could not come back.
 */
async function emit(reading: StreamReading, subscriber: Subscriber<MessageEvent>, logger: Logger): Promise<void> {
  try {
    for await (const chunk of reading)
      subscriber.next({ id: chunk.cursor, type: 'chunk', data: JSON.stringify(chunkBody(chunk)) });
    const end = await reading.ended;
    if (end !== undefined) subscriber.next({ id: reading.endCursor, type: 'end', data: JSON.stringify(endBody(end)) });
  } catch (error) {
    if (!reading.whenStopped.aborted)
      logger.warn('a stream could not be read any further for its events', {
        stream: reading.stream,
        code: errorCode(error),
        error: describeError(error),
      });
  }
  subscriber.complete();
}

function startHeartbeat(subscriber: Subscriber<MessageEvent>, heartbeatMs: number): NodeJS.Timeout | undefined {
  if (heartbeatMs <= 0) return undefined;
  return setInterval(() => subscriber.next({ comment: '' }), heartbeatMs).unref();
}
