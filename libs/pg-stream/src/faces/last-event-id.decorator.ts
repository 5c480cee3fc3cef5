import { errorCode } from '@nest-baton/core';
import { BadRequestException, createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { decodeCursor } from '../reading/cursor.js';
import { lastEventIdOf, type SseRequest } from '../sse/sse-request.js';

/**
 * The cursor that a client has seen last: its `Last-Event-ID` header, else `lastEventId` of the query; undefined when it has seen nothing.
 * What was never a cursor is answered with 400. Whether the cursor is one of the stream that is read is told when that is read.
 */
export const LastEventId = createParamDecorator((_: unknown, context: ExecutionContext): string | undefined =>
  validCursorOf(context.switchToHttp().getRequest<SseRequest>()),
);

/** Pure. @throws BadRequestException with the code CURSOR_INVALID. */
export function validCursorOf(request: SseRequest): string | undefined {
  const cursor = lastEventIdOf(request);
  if (cursor === undefined) return undefined;
  try {
    decodeCursor(cursor);
  } catch (error) {
    throw new BadRequestException(
      { statusCode: 400, code: errorCode(error), message: 'the last event id is not one that a stream has given.' },
      { cause: error },
    );
  }
  return cursor;
}
