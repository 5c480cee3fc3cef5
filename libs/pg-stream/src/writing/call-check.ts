import { type Duration, OptionsCheck, OptionsInvalidError } from '@nest-baton/core';
import { ChunkTooLargeError, StreamNameInvalidError } from '../pg-stream.errors.js';
import type { CloseOptions, OpenOptions, Producer } from './append-options.js';

const MAX_NAME_BYTES = 512;
/** With `u`, the two halves of a pair are one character and no surrogates. */
const HALF_A_PAIR = /\p{Surrogate}/u;

const MAX_MESSAGE_LENGTH = 2_000;

/** Below a second, the pause of a garbage collection or a slow disk ends a stream. The column is an integer of milliseconds. */
const MIN_LEASE_MS = 1_000;
const MAX_LEASE_MS = 24 * 86_400_000;

const END_STATUSES: readonly unknown[] = ['done', 'error', 'aborted'];

/** @throws StreamNameInvalidError */
export function checkStreamName(stream: string): void {
  const problem = nameProblem(stream);
  if (problem !== undefined) throw new StreamNameInvalidError(`a stream name ${problem}`);
}

/** @throws OptionsInvalidError */
export function checkGroup(group: string | undefined): void {
  const problem = group === undefined ? undefined : nameProblem(group);
  if (problem !== undefined) throw new OptionsInvalidError('opening a stream', [`group ${problem}`]);
}

/** @throws OptionsInvalidError naming everything wrong with it. */
export function checkProducer(producer: Partial<Producer>, counters: readonly ('epoch' | 'seq')[]): void {
  const problems = counters
    .filter((name) => !Number.isSafeInteger(producer[name]) || (producer[name] as number) < 0)
    .map((name) => `producer.${name} must be a safe integer of at least 0, not ${String(producer[name])}`);
  const idProblem = nameProblem(producer.id);
  if (idProblem !== undefined) problems.unshift(`producer.id ${idProblem}`);
  if (problems.length > 0) throw new OptionsInvalidError('a producer', problems);
}

/** The end as it is stored. @throws OptionsInvalidError */
export function toEnd({ status = 'done', message }: Pick<CloseOptions, 'status' | 'message'>): {
  readonly status: 'done' | 'error' | 'aborted';
  readonly message: string | null;
} {
  if (!END_STATUSES.includes(status))
    throw new OptionsInvalidError('closing a stream', [
      `status must be 'done', 'error' or 'aborted', not ${JSON.stringify(status)}`,
    ]);
  // Postgres has no NUL in text, and a failure's message may hold anything.
  return { status, message: message?.replaceAll('\0', '').slice(0, MAX_MESSAGE_LENGTH) ?? null };
}

/** @throws OptionsInvalidError */
export function checkExpectedIndex(expectedIndex: number | undefined): void {
  if (expectedIndex === undefined || (Number.isSafeInteger(expectedIndex) && expectedIndex >= 0)) return;
  throw new OptionsInvalidError('writing a stream', [
    `expectedIndex must be a safe integer of at least 0, not ${String(expectedIndex)}`,
  ]);
}

/** @throws OptionsInvalidError */
export function toLeaseMs(writerLease: Duration | undefined): number | undefined {
  if (writerLease === undefined) return undefined;
  const check = new OptionsCheck<{ readonly writerLease: Duration }>('opening a stream', { writerLease }, [
    'writerLease',
  ]);
  const leaseMs = check.duration('writerLease', writerLease, { min: MIN_LEASE_MS, max: MAX_LEASE_MS });
  check.finish();
  return Math.ceil(leaseMs);
}

/** @throws OptionsInvalidError */
export function toMustCreate(ifExists: OpenOptions['ifExists']): boolean {
  if (ifExists !== undefined && ifExists !== 'resume' && ifExists !== 'fail')
    throw new OptionsInvalidError('opening a stream', [
      `ifExists must be 'resume' or 'fail', not ${JSON.stringify(ifExists)}`,
    ]);
  return ifExists === 'fail';
}

export interface ChunkLimits {
  readonly maxChunkBytes: number;
  readonly maxPendingBytes: number;
}

/** Copies, so that the caller may use his buffers again at once. @throws ChunkTooLargeError, OptionsInvalidError */
export function toChunks(given: readonly (string | Uint8Array)[], limits: ChunkLimits): readonly Buffer[] {
  const { maxChunkBytes, maxPendingBytes } = limits;
  let total = 0;
  given.forEach((data, nth) => {
    const bytes = sizeOf(data, nth);
    total += bytes;
    if (bytes > maxChunkBytes)
      throw new ChunkTooLargeError(
        `the chunk has ${bytes} bytes, and maxChunkBytes is ${maxChunkBytes}: split it, or raise maxChunkBytes.`,
      );
  });
  if (given.length > 1 && total > maxPendingBytes)
    throw new ChunkTooLargeError(
      `the ${given.length} chunks have ${total} bytes together, and maxPendingBytes is ${maxPendingBytes}: append them in several calls.`,
    );
  return given.map((data) => (typeof data === 'string' ? Buffer.from(data, 'utf8') : Buffer.from(data)));
}

function sizeOf(data: unknown, nth: number): number {
  if (typeof data === 'string') return Buffer.byteLength(data);
  if (ArrayBuffer.isView(data) && !(data instanceof DataView)) return data.byteLength;
  throw new OptionsInvalidError('writing a stream', [
    `chunk ${nth} must be a string or a Uint8Array, not ${data === null ? 'null' : typeof data}`,
  ]);
}

function nameProblem(name: unknown): string | undefined {
  if (typeof name !== 'string') return `must be a string, not ${typeof name}`;
  const bytes = Buffer.byteLength(name);
  if (bytes < 1 || bytes > MAX_NAME_BYTES) return `must have 1 to ${MAX_NAME_BYTES} bytes, not ${bytes}`;
  if (name.includes('\0')) return 'must not hold NUL';
  // Otherwise two names would be one stream: each half of a pair is stored as the same replacement character.
  return HALF_A_PAIR.test(name) ? 'must not hold half a surrogate pair' : undefined;
}
