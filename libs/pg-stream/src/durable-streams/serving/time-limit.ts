/** Why a wait ends whose time is over. */
const TIME_OVER = Symbol('time over');

export interface TimeLimit {
  /** Aborts with `parent`, or when the time is over. */
  readonly signal: AbortSignal;
  /** Keeps neither a timer nor a listener; call it whatever came first. */
  readonly clear: () => void;
}

/** `AbortSignal.any` with `AbortSignal.timeout` would keep its timer for the whole time, also of a client that left long before. */
export function timeLimit(parent: AbortSignal, ms: number): TimeLimit {
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(TIME_OVER), ms).unref();
  const follow = (): void => over.abort(parent.reason);
  parent.addEventListener('abort', follow);
  if (parent.aborted) follow();
  return {
    signal: over.signal,
    clear: () => {
      clearTimeout(timer);
      parent.removeEventListener('abort', follow);
    },
  };
}
