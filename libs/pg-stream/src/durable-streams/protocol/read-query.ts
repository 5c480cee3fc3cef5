import { badRequest } from './protocol-refusal.js';
import { decodeOffset, type StartOffset } from './stream-offset.js';

export interface ReadQuery {
  readonly offset: StartOffset;
  readonly live: 'long-poll' | 'sse' | undefined;
  /** What the client got last, echoed. */
  readonly cursor: string | undefined;
}

/** Pure. @throws ProtocolRefusal 400 */
export function readQueryOf(query: URLSearchParams): ReadQuery {
  const offsets = query.getAll('offset');
  if (offsets.length > 1) throw badRequest('offset must be given once.');
  const live = query.get('live') ?? undefined;
  if (live !== undefined && live !== 'long-poll' && live !== 'sse')
    throw badRequest('live must be long-poll or sse, or be left out.');
  const [given] = offsets;
  if (given === undefined && live !== undefined) throw badRequest('offset is required for a live read.');
  const offset = given === undefined ? 'start' : decodeOffset(given);
  if (offset === undefined) throw badRequest('offset is not one that a stream has given, nor -1 or now.');
  return { offset, live, cursor: query.get('cursor') ?? undefined };
}
