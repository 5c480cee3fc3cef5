import type { IncomingHttpHeaders } from 'node:http';

/** The part of a request that says where to read on; Express keeps the whole URL in `originalUrl`. */
export interface SseRequest {
  readonly headers: IncomingHttpHeaders;
  readonly url?: string | undefined;
  readonly originalUrl?: string;
}

/** The id that a client has seen last: the header of a browser that reconnects, else the query of one that begins with a known place. Pure. */
export function lastEventIdOf({ headers, url, originalUrl }: SseRequest): string | undefined {
  const header = headers['last-event-id'];
  const fromHeader = Array.isArray(header) ? header[0] : header;
  if (fromHeader !== undefined && fromHeader !== '') return fromHeader;
  const [, query = ''] = (originalUrl ?? url ?? '').split('?', 2);
  const fromQuery = new URLSearchParams(query).get('lastEventId');
  return fromQuery === null || fromQuery === '' ? undefined : fromQuery;
}
