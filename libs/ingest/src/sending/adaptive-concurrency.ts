import type { Clock } from '@nest-baton/core';

/** Whole numbers, `1 <= min <= start <= max`. All three the same: fixed. */
export interface ConcurrencyBounds {
  readonly start: number;
  readonly min: number;
  readonly max: number;
}

/** How one attempt ended. */
export interface AttemptSample {
  /** `taken`: the server judged the documents. `overloaded`: 429, 503, no answer in time, no connection. `neutral` says nothing about load. */
  readonly outcome: 'taken' | 'overloaded' | 'neutral';
  readonly durationMs: number;
  /** On the wire. */
  readonly bytes: number;
  /** Requests that ran when it began, itself included. */
  readonly inFlight: number;
}

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

interface Window {
  readonly closesAtMs: number;
  readonly wasLimitReached: boolean;
  readonly seen: readonly (Seen | undefined)[];
}

/** Everything the limit is decided from. Times are on the monotonic clock. */
export interface ConcurrencyState {
  readonly limit: number;
  /** When the limit last moved: what began before has been measured at another limit. */
  readonly changedAtMs: number;
  /** When an overload last counted: what began before belongs to the same one. */
  readonly overloadedAtMs: number;
  /** The mean round trip of the last window; 0 before the first. */
  readonly roundTripMs: number;
  readonly usual: readonly (Usual | undefined)[];
  readonly window: Window | undefined;
}

/** Of the limit, what is left after a decrease. This, the weight and the deviations are those of Vector's adaptive concurrency. */
const DECREASE_RATIO = 0.9;
/** Of a new window in the moving averages. */
const EWMA_WEIGHT = 0.4;
/** Deviations that a window may be above the average. */
const DEVIATIONS = 2.5;
/** A window that is slower by less than this, or by less than a tenth, is noise of our own event loop however steady the server has been. */
const NOISE_MS = 5;
const NOISE_RATIO = 0.1;
/** As good as not slower: an average reaches a new level only in the limit. */
const CALM_RATIO = 0.02;
/** An average that no round trip has touched for this long, in milliseconds, decides nothing: the server may be another one by now. */
const STALE_AFTER_MS = 30_000;

/** Below it the bytes do not matter for how long a request takes. */
const SMALLEST_CLASS_BYTES = 16 * 1_024;
/** The last one begins at 8 MiB: servers refuse what is over 10. */
const CLASSES = 11;

/**
 * How many requests an index may have in flight: one more when that went well, a tenth less when it did not.
 *
 * - The limit stays within its bounds, whatever is told.
 * - It moves at most once a round trip. Failures of requests that ran side by side are one overload and lower it once.
 * - It rises only when it was reached. When it was not, a slow server does not lower it either, since fewer requests than that would run anyway: lone callers
 *   at a low rate leave it where it is. The server's own word, or its silence, always lowers it.
 * - A server that becomes slower for good costs a few steps, until the average has followed; then the limit rises again.
 * - Fixed bounds cost nothing.
 */
export class AdaptiveConcurrency {
  private readonly isFixed: boolean;
  private state: ConcurrencyState;

  constructor(
    private readonly bounds: ConcurrencyBounds,
    private readonly clock: Clock,
  ) {
    this.isFixed = bounds.min === bounds.max;
    this.state = startingState(bounds);
  }

  /** Requests that may run now. Fewer than do run after a decrease: those end by themselves. */
  get limit(): number {
    return this.state.limit;
  }

  /** One attempt ended just now. Not for requests that wait for a commit: they take as long as the server's commit interval. */
  ended(sample: AttemptSample): void {
    if (this.isFixed) return;
    this.state = afterAttempt(this.state, sample, this.bounds, this.clock.monotonic());
  }
}

export function startingState({ start }: ConcurrencyBounds): ConcurrencyState {
  return {
    limit: start,
    changedAtMs: -Infinity,
    overloadedAtMs: -Infinity,
    roundTripMs: 0,
    usual: new Array<undefined>(CLASSES).fill(undefined),
    window: undefined,
  };
}

/** After an attempt that ended at `nowMs`. Pure. */
export function afterAttempt(
  state: ConcurrencyState,
  sample: AttemptSample,
  bounds: ConcurrencyBounds,
  nowMs: number,
): ConcurrencyState {
  switch (sample.outcome) {
    case 'taken':
      return afterTaken(state, sample, bounds, nowMs);
    case 'overloaded':
      return afterOverload(state, sample, bounds, nowMs);
    case 'neutral':
      return state;
  }
}

/** Decides at once: waiting for the window would send more of what is refused. */
function afterOverload(
  state: ConcurrencyState,
  sample: AttemptSample,
  bounds: ConcurrencyBounds,
  nowMs: number,
): ConcurrencyState {
  if (nowMs - sample.durationMs < state.overloadedAtMs) return state;
  // A 429 comes back sooner than documents do, so that many of them fit into the round trip in which a decrease begins to tell.
  if (nowMs - state.overloadedAtMs < state.roundTripMs) return { ...state, window: undefined };
  return { ...moved(state, lower(state.limit, bounds), nowMs), overloadedAtMs: nowMs, window: undefined };
}

function afterTaken(
  state: ConcurrencyState,
  sample: AttemptSample,
  bounds: ConcurrencyBounds,
  nowMs: number,
): ConcurrencyState {
  const beganAtMs = nowMs - sample.durationMs;
  if (beganAtMs < state.changedAtMs) return state;
  const sizeClass = sizeClassOf(sample.bytes);
  const usual = forgetStale(state.usual, beganAtMs);
  const window = withSample(openWindow(state, beganAtMs), sample, sizeClass, state.limit, nowMs, usual[sizeClass]);
  if (nowMs < window.closesAtMs) return { ...state, usual, window };
  return afterWindow({ ...state, usual }, window, bounds, nowMs);
}

/** A window that a gap in traffic has interrupted is not gone on with. */
function openWindow({ window }: ConcurrencyState, beganAtMs: number): Window | undefined {
  return window !== undefined && beganAtMs - window.closesAtMs > STALE_AFTER_MS ? undefined : window;
}

/** It lasts for a round trip of whatever ended in it first, so that the requests of a whole flight have their say. */
function withSample(
  window: Window | undefined,
  { durationMs, inFlight }: AttemptSample,
  sizeClass: number,
  limit: number,
  nowMs: number,
  usual: Usual | undefined,
): Window {
  const open = window ?? { closesAtMs: nowMs + (usual?.meanMs ?? durationMs), wasLimitReached: false, seen: [] };
  const seen = [...open.seen];
  const { count, sumMs } = seen[sizeClass] ?? { count: 0, sumMs: 0 };
  seen[sizeClass] = { count: count + 1, sumMs: sumMs + durationMs };
  return { ...open, seen, wasLimitReached: open.wasLimitReached || inFlight >= limit };
}

/** The one decision a window. What was seen is learnt whatever it comes to, or a server that has changed for good would stay a slow one for ever. */
function afterWindow(
  state: ConcurrencyState,
  window: Window,
  bounds: ConcurrencyBounds,
  nowMs: number,
): ConcurrencyState {
  const pace = window.wasLimitReached ? paceOf(state.usual, window.seen) : 'unclear';
  const limit = limitAfter(pace, state.limit, bounds);
  const usual = state.usual.map((average, sizeClass) => learned(average, window.seen[sizeClass], nowMs));
  return { ...moved(state, limit, nowMs), usual, roundTripMs: meanOf(window.seen), window: undefined };
}

function limitAfter(pace: Pace, limit: number, bounds: ConcurrencyBounds): number {
  switch (pace) {
    case 'calm':
      return Math.min(bounds.max, limit + 1);
    case 'slow':
      return lower(limit, bounds);
    case 'unclear':
      return limit;
  }
}

type Pace = 'calm' | 'slow' | 'unclear';

/**
 * A window beside the averages. Batches have between one document and some mebibytes, and a large one takes longer on the best of servers: so each is compared
 * with its like, within a factor of two in bytes, and the classes add up by their requests. Dividing by the bytes instead would make small ones, whose time
 * is all round trip, look slow. Classes without an average only learn.
 */
function paceOf(usual: readonly (Usual | undefined)[], seen: readonly (Seen | undefined)[]): Pace {
  let [excessMs, expectedMs, spreadMs, requests] = [0, 0, 0, 0];
  for (const [sizeClass, average] of usual.entries()) {
    const { count, sumMs } = seen[sizeClass] ?? { count: 0, sumMs: 0 };
    if (average === undefined || count === 0) continue;
    excessMs += sumMs - count * average.meanMs;
    expectedMs += count * average.meanMs;
    spreadMs += count * Math.sqrt(average.variance);
    requests += count;
  }
  if (requests === 0) return 'unclear';
  if (excessMs > Math.max(DEVIATIONS * spreadMs, NOISE_RATIO * expectedMs, NOISE_MS * requests)) return 'slow';
  return excessMs <= CALM_RATIO * expectedMs ? 'calm' : 'unclear';
}

/** The exponentially weighted mean and variance of windows. */
function learned(average: Usual | undefined, seen: Seen | undefined, nowMs: number): Usual | undefined {
  if (seen === undefined) return average;
  const currentMs = seen.sumMs / seen.count;
  if (average === undefined) return { meanMs: currentMs, variance: 0, seenAtMs: nowMs };
  const differenceMs = currentMs - average.meanMs;
  const incrementMs = EWMA_WEIGHT * differenceMs;
  return {
    meanMs: average.meanMs + incrementMs,
    variance: (1 - EWMA_WEIGHT) * (average.variance + differenceMs * incrementMs),
    seenAtMs: nowMs,
  };
}

function forgetStale(usual: readonly (Usual | undefined)[], beganAtMs: number): readonly (Usual | undefined)[] {
  const isStale = (average: Usual | undefined): boolean =>
    average !== undefined && beganAtMs - average.seenAtMs > STALE_AFTER_MS;
  return usual.some(isStale) ? usual.map((average) => (isStale(average) ? undefined : average)) : usual;
}

function meanOf(seen: readonly (Seen | undefined)[]): number {
  let [sum, count] = [0, 0];
  for (const each of seen) [sum, count] = [sum + (each?.sumMs ?? 0), count + (each?.count ?? 0)];
  return sum / count;
}

function lower(limit: number, { min }: ConcurrencyBounds): number {
  return Math.max(min, Math.floor(limit * DECREASE_RATIO));
}

function moved(state: ConcurrencyState, limit: number, nowMs: number): ConcurrencyState {
  return limit === state.limit ? state : { ...state, limit, changedAtMs: nowMs };
}

function sizeClassOf(bytes: number): number {
  const doublings = Math.ceil(Math.log2(Math.max(1, bytes) / SMALLEST_CLASS_BYTES));
  return Math.min(CLASSES - 1, Math.max(0, doublings));
}
