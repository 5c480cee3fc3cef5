import type { StreamRecord } from '../storing/stream-record.js';
import { encodeOffset } from '../protocol/stream-offset.js';

/** What a request is answered with. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** The process shuts down: the connection is not kept for another request. */
  readonly isLast?: boolean;
}

/** One request, freed of the framework that brought it. */
export interface ProtocolRequest {
  /** The decoded name of the stream. */
  readonly stream: string;
  /** Absolute, without a query. */
  readonly url: string;
  /** Turns the path of another stream on this server into its name; undefined when it lies elsewhere. */
  readonly streamOf: (path: string) => string | undefined;
  readonly headers: import('node:http').IncomingHttpHeaders;
  readonly query: URLSearchParams;
  readonly body: Uint8Array;
  /** Aborts when the client leaves. */
  readonly signal: AbortSignal;
}

/** Pure. */
export function offsetHeader(record: Pick<StreamRecord, 'originId'>, position: number): Record<string, string> {
  return { 'stream-next-offset': encodeOffset({ originId: record.originId, position }) };
}

/** Pure. */
export function closedHeader(isClosed: boolean): Record<string, string> {
  return isClosed ? { 'stream-closed': 'true' } : {};
}
