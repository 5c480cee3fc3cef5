import { HandoffInvalidError } from '../redis-reconcile.errors.js';

/** Bytes of UTF-8. Names are parts of keys; what is large belongs into a store, and its id into a name. */
export const MAX_NAME_BYTES = 1024;
/** Bytes of JSON. An info is repeated at every requeue, and read whole by every owner. */
export const MAX_INFO_BYTES = 1024 * 1024;
const MAX_ID_BYTES = 128;
/** An entry of ours has at most ten fields; a raw one may carry some of its own. */
const MAX_FIELDS = 100;
/** Lone surrogates, and what bytes that are no UTF-8 are read as: two such names would be one, and none of them the entry's. */
const NO_TEXT = /[\uD800-\uDFFF\uFFFD]/u;

/** A hand-off as its entry tells it. */
export interface HandoffEntry {
  readonly id: string;
  readonly handoffId: string;
  readonly dataStream: string;
  readonly info: unknown;
  /** Attempts that failed before. */
  readonly count: number;
  /** Of the call that handed it off, as text; not checked. */
  readonly trace: string | undefined;
}

export type DecodedEntry =
  { readonly kind: 'handoff'; readonly entry: HandoffEntry } | { readonly kind: 'poison'; readonly reason: string };

/** @throws HandoffInvalidError when it cannot name a unit of work. */
export function checkDataStream(dataStream: unknown): asserts dataStream is string {
  const problem = problemOfName(dataStream);
  if (problem !== undefined) throw new HandoffInvalidError(`A data stream's name ${problem}.`);
}

/** The fields of a new entry. Pure. @throws HandoffInvalidError when name or info cannot be handed off. */
export function encodeEntry(handoffId: string, dataStream: string, info: unknown, trace?: string): string[] {
  checkDataStream(dataStream);
  const fields = ['v', '1', 'id', handoffId, 'stream', dataStream];
  if (trace !== undefined) fields.push('traceparent', trace);
  if (info === undefined) return fields;
  return [...fields, 'info', encodeInfo(info)];
}

/** @throws HandoffInvalidError */
export function checkDedupeId(dedupeId: unknown): void {
  if (typeof dedupeId !== 'string' || dedupeId === '' || Buffer.byteLength(dedupeId) > MAX_NAME_BYTES)
    throw new HandoffInvalidError(`dedupeId must be a non-empty string of at most ${MAX_NAME_BYTES} bytes.`);
}

/** What was read from the stream, parsed once. Never throws: whatever is wrong with an entry is a reason to set it aside. Pure. */
export function decodeEntry(id: string, flat: readonly string[] | null): DecodedEntry {
  if (flat === null) return { kind: 'poison', reason: 'unparseable: no fields' };
  // Of a field that comes twice the first counts.
  let dataStream: string | undefined;
  let text: string | undefined;
  let handoffId: string | undefined;
  let count: string | undefined;
  let trace: string | undefined;
  for (let i = 0; i < flat.length; i += 2) {
    if (flat[i] === 'stream') dataStream ??= flat[i + 1];
    else if (flat[i] === 'info') text ??= flat[i + 1];
    else if (flat[i] === 'id') handoffId ??= flat[i + 1];
    else if (flat[i] === 'count') count ??= flat[i + 1];
    else if (flat[i] === 'traceparent') trace ??= flat[i + 1];
  }
  const poison = poisonOf(dataStream, flat.length / 2);
  if (dataStream === undefined || poison !== '') return { kind: 'poison', reason: poison };
  const info = decodeInfo(text);
  if (info === undefined) return { kind: 'poison', reason: 'unparseable: info is not JSON' };
  // An id that cannot be one is none.
  if (handoffId === undefined || handoffId === '' || Buffer.byteLength(handoffId) > MAX_ID_BYTES) handoffId = id;
  const entry = { id, handoffId, dataStream, info: info.value, count: decodeCount(count), trace };
  return { kind: 'handoff', entry };
}

/** Why an entry with this name and number of fields cannot be owned by anybody; empty when it can. Pure. */
export function poisonOf(dataStream: string | undefined, fieldCount: number): string {
  if (fieldCount > MAX_FIELDS) return `unparseable: more than ${MAX_FIELDS} fields`;
  if (dataStream === undefined || dataStream === '') return 'unparseable: no data stream';
  const problem = problemOfName(dataStream);
  return problem === undefined ? '' : `unparseable: the data stream's name ${problem}`;
}

/** An absent, negative or unreadable count is 0. Pure. */
export function decodeCount(text: string | undefined): number {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : 0;
}

function problemOfName(name: unknown): string | undefined {
  if (typeof name !== 'string') return 'must be a string';
  if (name === '') return 'must not be empty';
  const bytes = Buffer.byteLength(name);
  if (bytes > MAX_NAME_BYTES) return `must have at most ${MAX_NAME_BYTES} bytes, not ${bytes}`;
  if (NO_TEXT.test(name)) return 'must be well-formed Unicode';
  return undefined;
}

function encodeInfo(info: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(info);
  } catch (cause) {
    throw new HandoffInvalidError('info cannot be written as JSON.', { cause });
  }
  if (text === undefined) throw new HandoffInvalidError(`info cannot be written as JSON: it is a ${typeof info}.`);
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_INFO_BYTES)
    throw new HandoffInvalidError(
      `info must have at most ${MAX_INFO_BYTES} bytes as JSON, not ${bytes}: store it, and hand off its id.`,
    );
  return text;
}

function decodeInfo(text: string | undefined): { readonly value: unknown } | undefined {
  if (text === undefined) return { value: undefined };
  try {
    return { value: JSON.parse(text) as unknown };
  } catch {
    return undefined;
  }
}
