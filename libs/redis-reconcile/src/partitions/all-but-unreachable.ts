import { errorCode } from '@nest-baton/core';
import type { Partition } from './partition.js';

/**
 * Acts on all partitions at once; those that cannot be reached do not stop the others.
 *
 * @throws the first error of another kind; RedisUnavailableError when none could be reached.
 */
export async function allButUnreachable(
  partitions: readonly Partition[],
  act: (partition: Partition) => Promise<void>,
): Promise<void> {
  const outcomes = await Promise.allSettled(partitions.map(act));
  const failures = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as Error] : []));
  const [serious] = failures.filter((failure) => errorCode(failure) !== 'REDIS_UNAVAILABLE');
  if (serious !== undefined) throw serious;
  const [first] = failures;
  if (first !== undefined && failures.length === partitions.length) throw first;
}
