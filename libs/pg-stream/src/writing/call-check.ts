import { OptionsInvalidError } from '@nest-baton/core';
import { ChunkTooLargeError, StreamNameInvalidError } from '../pg-stream.errors.js';
import type { CloseOptions, Producer } from './append-options.js';

const MAX_NAME_BYTES = 512;
const MAX_MESSAGE_LENGTH = 2_000;
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

/** A copy, so that the caller may use his buffer again at once. @throws ChunkTooLargeError */
export function toChunkData(data: string | Uint8Array, maxChunkBytes: number): Buffer {
  const bytes = typeof data === 'string' ? Buffer.byteLength(data) : data.byteLength;
  if (bytes > maxChunkBytes)
    throw new ChunkTooLargeError(
      `the chunk has ${bytes} bytes, and maxChunkBytes is ${maxChunkBytes}: split it, or raise maxChunkBytes.`,
    );
  return typeof data === 'string' ? Buffer.from(data, 'utf8') : Buffer.from(data);
}

function nameProblem(name: unknown): string | undefined {
  if (typeof name !== 'string') return `must be a string, not ${typeof name}`;
  const utf8 = Buffer.from(name, 'utf8');
  if (utf8.length < 1 || utf8.length > MAX_NAME_BYTES)
    return `must have 1 to ${MAX_NAME_BYTES} bytes, not ${utf8.length}`;
  if (name.includes('\0')) return 'must not hold NUL';
  // Otherwise two names would be one stream: each half of a pair is stored as the same replacement character.
  return utf8.toString('utf8') === name ? undefined : 'must not hold half a surrogate pair';
}
