/** Round trips of one size class, averaged over windows. */
interface Usual {
  readonly meanMs: number;
  readonly variance: number;
  readonly seenAtMs: number;
}

/** Round trips of one size class within a window. */
interface Seen {
  readonly count: number;
  readonly sumMs: number;
}

/** By size class. */
export type UsualRoundTrips = readonly (Usual | undefined)[];
export type SeenRoundTrips = readonly (Seen | undefined)[];

/** A window beside what was usual, summed over its requests. */
export interface Comparison {
  /** How much longer they took; negative: shorter. */
  readonly excessMs: number;
  readonly expectedMs: number;
  /** The usual deviations. */
  readonly spreadMs: number;
  readonly requests: number;
}

/** The weight of a new window in the moving averages, as in Vector's adaptive concurrency. */
const EWMA_WEIGHT = 0.4;
/** An average that no round trip has touched for this long, in milliseconds, decides nothing: the server may be another one by now. */
export const STALE_AFTER_MS = 30_000;

/** Below it the bytes do not matter for how long a request takes. */
const SMALLEST_CLASS_BYTES = 16 * 1_024;
/** The last one begins at 8 MiB: servers refuse what is over 10. */
const CLASSES = 11;

export const NOTHING_USUAL: UsualRoundTrips = new Array<undefined>(CLASSES).fill(undefined);

/**
 * Batches have between one document and some mebibytes, and a large one takes longer on the best of servers: so a round trip is compared with its
 * like only, within a factor of two in bytes. Dividing by the bytes instead would make small ones, whose time is all round trip, look slow.
 */
function sizeClassOf(bytes: number): number {
  const doublings = Math.ceil(Math.log2(Math.max(1, bytes) / SMALLEST_CLASS_BYTES));
  return Math.min(CLASSES - 1, Math.max(0, doublings));
}

/** Undefined when there is nothing to compare it with. */
export function usualMs(usual: UsualRoundTrips, bytes: number): number | undefined {
  return usual[sizeClassOf(bytes)]?.meanMs;
}

/** With one round trip more. Pure. */
export function withRoundTrip(seen: SeenRoundTrips, bytes: number, durationMs: number): SeenRoundTrips {
  const sizeClass = sizeClassOf(bytes);
  const { count, sumMs } = seen[sizeClass] ?? { count: 0, sumMs: 0 };
  const more = [...seen];
  more[sizeClass] = { count: count + 1, sumMs: sumMs + durationMs };
  return more;
}

/** Undefined when no class is in both: those that are new only learn. Pure. */
export function compared(usual: UsualRoundTrips, seen: SeenRoundTrips): Comparison | undefined {
  let [excessMs, expectedMs, spreadMs, requests] = [0, 0, 0, 0];
  for (const [sizeClass, average] of usual.entries()) {
    const { count, sumMs } = seen[sizeClass] ?? { count: 0, sumMs: 0 };
    if (average === undefined || count === 0) continue;
    excessMs += sumMs - count * average.meanMs;
    expectedMs += count * average.meanMs;
    spreadMs += count * Math.sqrt(average.variance);
    requests += count;
  }
  return requests === 0 ? undefined : { excessMs, expectedMs, spreadMs, requests };
}

/** The exponentially weighted means and variances with a window more. Pure. */
export function learned(usual: UsualRoundTrips, seen: SeenRoundTrips, nowMs: number): UsualRoundTrips {
  return usual.map((average, sizeClass) => {
    const window = seen[sizeClass];
    return window === undefined ? average : averaged(average, window.sumMs / window.count, nowMs);
  });
}

function averaged(average: Usual | undefined, currentMs: number, nowMs: number): Usual {
  if (average === undefined) return { meanMs: currentMs, variance: 0, seenAtMs: nowMs };
  const differenceMs = currentMs - average.meanMs;
  const incrementMs = EWMA_WEIGHT * differenceMs;
  return {
    meanMs: average.meanMs + incrementMs,
    variance: (1 - EWMA_WEIGHT) * (average.variance + differenceMs * incrementMs),
    seenAtMs: nowMs,
  };
}

/** Without the averages that were too old when a request began. Pure. */
export function withoutStale(usual: UsualRoundTrips, beganAtMs: number): UsualRoundTrips {
  const isStale = (average: Usual | undefined): boolean =>
    average !== undefined && beganAtMs - average.seenAtMs > STALE_AFTER_MS;
  return usual.some(isStale) ? usual.map((average) => (isStale(average) ? undefined : average)) : usual;
}

/** 0 when there are none. */
export function meanMs(seen: SeenRoundTrips): number {
  let [sum, count] = [0, 0];
  for (const each of seen) [sum, count] = [sum + (each?.sumMs ?? 0), count + (each?.count ?? 0)];
  return count === 0 ? 0 : sum / count;
}
