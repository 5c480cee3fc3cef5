import { KeyTypeConflictError } from '../redis-reconcile.errors.js';

/** A server's word that somebody must act on, as an error that says how; any other as it is. Pure. */
export function typedReply(error: unknown): unknown {
  const { message } = (error ?? {}) as { message?: unknown };
  // Within a script, servers before 7 put the place before the word.
  if (typeof message !== 'string' || !/(?:^|[ :-])WRONGTYPE\b/.test(message)) return error;
  return new KeyTypeConflictError(
    "A key of this service holds something of another type (WRONGTYPE): somebody else writes under its name. Look at the keys that begin with '{<service>:' with TYPE, compare them with the table in the README, and move or delete the foreign one, or choose another 'service'.",
    { cause: error },
  );
}
