import { OptionsCheck } from '@nest-baton/core';
import type { Partition } from '../partitions/partition.js';
import type { DeadLetterFilter } from './dead-letter.js';
import { compareIds, toDeadLetter } from './dead-letter-entry.js';

/** Entries that are looked at in one call. */
const PAGE = 100;

/** Reads a filter and what else a call has. */
export function checkFilter<Options extends DeadLetterFilter & { readonly signal?: AbortSignal }>(
  subject: string,
  options: Options,
  known: readonly (keyof Options & string)[],
): OptionsCheck<Options> {
  const check = new OptionsCheck<Options>(subject, options, ['reason', 'dataStream', 'deadBefore', 'where', ...known]);
  const { reason, dataStream, deadBefore, where, signal } = (options ?? {}) as Record<string, unknown>;
  for (const [name, value] of Object.entries({ reason, dataStream }))
    check.rule(value === undefined || typeof value === 'string', `${name} must be a string`);
  const isDate = Object.prototype.toString.call(deadBefore) === '[object Date]';
  check.rule(deadBefore === undefined || (isDate && !Number.isNaN(Number(deadBefore))), 'deadBefore must be a date');
  check.rule(where === undefined || typeof where === 'function', 'where must be a function');
  check.rule(
    signal === undefined || typeof (signal as AbortSignal | null)?.aborted === 'boolean',
    'signal must be an AbortSignal',
  );
  return check;
}

/**
 * The ids of the dead letters that a filter means, oldest first, in pages of one partition.
 *
 * - Ends at what was the last one when it began, so that what dies again meanwhile is not met a second time.
 */
export async function* walkDeadLetters(
  partitions: readonly Partition[],
  filter: DeadLetterFilter,
  signal: AbortSignal | undefined,
): AsyncGenerator<{ readonly partition: Partition; readonly ids: readonly string[] }> {
  const ends = await Promise.all(
    partitions.map(({ keys, link }) =>
      link.call((redis) => redis.xrevrange(keys.deadLetters, '+', '-', 'COUNT', 1)).then(([last]) => last?.[0]),
    ),
  );
  for (const [i, partition] of partitions.entries()) {
    const end = ends[i];
    let after = '-';
    while (end !== undefined && signal?.aborted !== true) {
      const from = after;
      const entries = await partition.link.call((redis) =>
        redis.xrange(partition.keys.deadLetters, from, end, 'COUNT', PAGE),
      );
      const ids = entries.flatMap(([id, fields]) => (isMeant(filter, id, fields) ? [id] : []));
      if (ids.length > 0) yield { partition, ids };
      const last = entries.at(-1)?.[0];
      if (entries.length < PAGE || last === undefined || compareIds(last, end) >= 0) break;
      after = `(${last}`;
    }
  }
}

function isMeant(filter: DeadLetterFilter, id: string, fields: readonly string[]): boolean {
  const letter = toDeadLetter(id, fields, false);
  return (
    (filter.reason === undefined || letter.reason === filter.reason) &&
    (filter.dataStream === undefined || letter.dataStream === filter.dataStream) &&
    (filter.deadBefore === undefined || letter.deadAt < filter.deadBefore) &&
    (filter.where === undefined || filter.where(letter))
  );
}
