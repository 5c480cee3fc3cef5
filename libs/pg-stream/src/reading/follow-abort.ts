const followers = new WeakMap<AbortSignal, Set<Follower>>();

interface Follower {
  readonly aborted: () => void;
}

/**
 * Calls `aborted` when `signal` aborts, also at once. One signal may be that of any number of readers and has one listener of ours, since Node takes
 * more than ten for a leak and warns; none when nobody follows any more.
 *
 * @returns what ends it.
 */
export function followAbort(signal: AbortSignal | undefined, aborted: () => void): () => void {
  if (signal === undefined) return () => undefined;
  if (signal.aborted) {
    aborted();
    return () => undefined;
  }
  const follower: Follower = { aborted };
  const known = followers.get(signal);
  const all = known ?? new Set<Follower>();
  if (known === undefined) {
    followers.set(signal, all);
    signal.addEventListener('abort', tellAll);
  }
  all.add(follower);
  return () => {
    if (!all.delete(follower) || all.size > 0) return;
    followers.delete(signal);
    signal.removeEventListener('abort', tellAll);
  };
}

function tellAll(this: AbortSignal): void {
  for (const { aborted } of [...(followers.get(this) ?? [])]) aborted();
}
