import { KeyTypeConflictError, PartitionsMismatchError } from '../redis-reconcile.errors.js';

/** A server's word that somebody must act on, as an error that says how; any other as it is. Pure. */
export function typedReply(error: unknown): unknown {
  const { message } = (error ?? {}) as { message?: unknown };
  const repartitioned = typeof message === 'string' ? /REPARTITIONED \w+:\d+:(\d+)/.exec(message) : null;
  if (repartitioned !== null)
    return new PartitionsMismatchError(
      `The number of partitions is another one by now, ${repartitioned[1]}, or on its way to it: this process hands off nothing and takes nothing any more. Restart it with partitions set to ${repartitioned[1]}; where that is refused, repartition(${repartitioned[1]}) has not come to its end, and must be called again.`,
      { cause: error },
    );
  // Within a script, servers before 7 put the place before the word.
  if (typeof message !== 'string' || !/(?:^|[ :-])WRONGTYPE\b/.test(message)) return error;
  return new KeyTypeConflictError(
    "A key of this service holds something of another type (WRONGTYPE): somebody else writes under its name. Look at the keys that begin with '{<service>:' with TYPE, compare them with the table in the README, and move or delete the foreign one, or choose another 'service'.",
    { cause: error },
  );
}
