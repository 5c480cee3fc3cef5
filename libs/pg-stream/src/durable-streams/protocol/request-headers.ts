import type { IncomingHttpHeaders } from 'node:http';
import type { Producer } from '../../writing/append-options.js';
import { badRequest } from './protocol-refusal.js';

/** When a stream ends by itself: after so long without a read or a write, or at an instant. At most one of the two. */
export interface Expiry {
  readonly ttlSeconds: number | undefined;
  readonly expiresAt: Date | undefined;
}

/** What a fork is made of; `offset` and `subOffset` as the client wrote them. */
export interface ForkHeaders {
  readonly sourcePath: string;
  readonly offset: string | undefined;
  readonly subOffset: number;
}

/** RFC 3339, of which `Date` reads more than there is. */
const TIMESTAMP = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;

/** Pure. */
export function headerOf(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

/** Pure. */
export function isClosing(headers: IncomingHttpHeaders): boolean {
  return headerOf(headers, 'stream-closed')?.toLowerCase() === 'true';
}

/** Pure. @throws ProtocolRefusal 400 */
export function expiryOf(headers: IncomingHttpHeaders): Expiry {
  const ttl = headerOf(headers, 'stream-ttl');
  const at = headerOf(headers, 'stream-expires-at');
  if (ttl !== undefined && at !== undefined)
    throw badRequest('Stream-TTL and Stream-Expires-At exclude each other: send one of them.');
  return {
    ttlSeconds: ttl === undefined ? undefined : wholeNumber('Stream-TTL', ttl),
    expiresAt: at === undefined ? undefined : timestamp(at),
  };
}

/** Pure. @throws ProtocolRefusal 400 */
export function forkOf(headers: IncomingHttpHeaders): ForkHeaders | undefined {
  const sourcePath = headerOf(headers, 'stream-forked-from');
  const offset = headerOf(headers, 'stream-fork-offset');
  const subOffset = headerOf(headers, 'stream-fork-sub-offset');
  if (sourcePath === undefined) {
    if (offset !== undefined || subOffset !== undefined)
      throw badRequest('Stream-Fork-Offset and Stream-Fork-Sub-Offset go with Stream-Forked-From only.');
    return undefined;
  }
  return {
    sourcePath,
    offset,
    subOffset: subOffset === undefined ? 0 : wholeNumber('Stream-Fork-Sub-Offset', subOffset),
  };
}

/** All three headers, or none. Pure. @throws ProtocolRefusal 400 */
export function producerOf(headers: IncomingHttpHeaders): Producer | undefined {
  const id = headerOf(headers, 'producer-id');
  const epoch = headerOf(headers, 'producer-epoch');
  const seq = headerOf(headers, 'producer-seq');
  if (id === undefined && epoch === undefined && seq === undefined) return undefined;
  if (id === undefined || epoch === undefined || seq === undefined)
    throw badRequest('Producer-Id, Producer-Epoch and Producer-Seq go together: send all of them or none.');
  if (id === '') throw badRequest('Producer-Id must not be empty.');
  return { id, epoch: wholeNumber('Producer-Epoch', epoch), seq: wholeNumber('Producer-Seq', seq) };
}

function wholeNumber(header: string, value: string): number {
  const number = Number(value);
  if (!/^(0|[1-9]\d*)$/.test(value) || !Number.isSafeInteger(number))
    throw badRequest(`${header} must be a whole number from 0 to 2^53 - 1 in decimal digits.`);
  return number;
}

function timestamp(value: string): Date {
  const at = new Date(value);
  if (!TIMESTAMP.test(value) || Number.isNaN(at.getTime()))
    throw badRequest('Stream-Expires-At must be an RFC 3339 timestamp.');
  return at;
}
