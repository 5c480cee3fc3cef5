import type { Clock } from '@nest-baton/core';
import {
  compared,
  type Comparison,
  learned,
  meanMs,
  NOTHING_USUAL,
  type SeenRoundTrips,
  STALE_AFTER_MS,
  type UsualRoundTrips,
  usualMs,
  withoutStale,
  withRoundTrip,
} from './round-trips.js';

/** Whole numbers, `1 <= min <= start <= max`. All three the same: fixed. */
export interface ConcurrencyBounds {
  readonly start: number;
  readonly min: number;
  readonly max: number;
}

/** How one attempt ended. */
export interface AttemptSample {
  /** `taken`: the server worked on the documents. `overloaded`: 429, 503, no answer in time, no connection. `neutral`: nothing about load. */
  readonly outcome: 'taken' | 'overloaded' | 'neutral';
  readonly durationMs: number;
  /** On the wire. */
  readonly bytes: number;
  /** Requests that ran when it began, itself included. */
  readonly inFlight: number;
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
  readonly usual: UsualRoundTrips;
  readonly window: Window | undefined;
  /** The limit moved by one to see what comes of it; the next window tells, beside the averages from before. */
  readonly trial: Direction | undefined;
  /** Where the next trial goes. */
  readonly direction: Direction;
  /** Windows until then. */
  readonly restWindows: number;
}

interface Window {
  readonly closesAtMs: number;
  readonly wasLimitReached: boolean;
  readonly seen: SeenRoundTrips;
}

type Direction = 'up' | 'down';

/** What is left of the limit after a decrease. This and the deviations are those of Vector's adaptive concurrency. */
const DECREASE_RATIO = 0.9;
/** Deviations that a window may be above the average. */
const DEVIATIONS = 2.5;
/** Slower by less than this for each request, or by less than a tenth, is noise of our own event loop, however steady the server has been. */
const NOISE_MS = 5;
const NOISE_RATIO = 0.1;
/** As good as not slower: an average comes up to a new level without ever reaching it. */
const CALM_RATIO = 0.02;
/** Of the time that one request more costs all others where the server only queues it: a trial that costs so much has bought nothing. */
const TRIAL_RATIO = 0.5;
/** Windows without a trial when one more and one less were both worse, and after an overload: trials at the edge are not free. */
const REST_WINDOWS = 8;

/**
 * How many requests an index may have in flight: one more while that pays, a tenth less when the server has too much.
 *
 * - The limit stays within its bounds, whatever is told, and moves at most once a round trip.
 * - It moves for round trips only when it was reached. Otherwise fewer requests than that run anyway: lone callers at a low rate leave it where it is.
 * - 429, 503 and silence lower it always, but once for all requests that ran side by side.
 * - Where a server queues what is too much for it, the averages alone would take each step of the queue for the new normal and follow it to `max`. So a
 *   step that makes everybody wait is taken back, and now and then one less is tried: the limit stays near what the server works on at once.
 * - A server that becomes slower for good costs a few steps, until the averages have followed; then the limit rises again.
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

  /** Requests that may run now. After a decrease more may be running: they end by themselves. */
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
    usual: NOTHING_USUAL,
    window: undefined,
    trial: undefined,
    direction: 'up',
    restWindows: 0,
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
  const limit = lowered(state.limit, bounds);
  // At the bottom there is no edge to stay away from, only a server that may be back.
  const restWindows = limit > bounds.min ? REST_WINDOWS : 0;
  return { ...moved(state, limit, nowMs), overloadedAtMs: nowMs, direction: 'up', restWindows };
}

function afterTaken(
  state: ConcurrencyState,
  { durationMs, bytes, inFlight }: AttemptSample,
  bounds: ConcurrencyBounds,
  nowMs: number,
): ConcurrencyState {
  const beganAtMs = nowMs - durationMs;
  if (beganAtMs < state.changedAtMs) return state;
  const usual = withoutStale(state.usual, beganAtMs);
  // A window lasts for a round trip of what ended in it first, so that a whole flight has its say.
  const open = openWindow(state, beganAtMs) ?? {
    closesAtMs: nowMs + (usualMs(usual, bytes) ?? durationMs),
    wasLimitReached: false,
    seen: [],
  };
  const window: Window = {
    closesAtMs: open.closesAtMs,
    wasLimitReached: open.wasLimitReached || inFlight >= state.limit,
    seen: withRoundTrip(open.seen, bytes, durationMs),
  };
  if (nowMs < window.closesAtMs) return { ...state, usual, window };
  return afterWindow({ ...state, usual }, window, bounds, nowMs);
}

/** What a gap in traffic has interrupted is not gone on with. */
function openWindow({ window }: ConcurrencyState, beganAtMs: number): Window | undefined {
  return window !== undefined && beganAtMs - window.closesAtMs > STALE_AFTER_MS ? undefined : window;
}

/** The one decision a window. */
function afterWindow(
  before: ConcurrencyState,
  { wasLimitReached, seen }: Window,
  bounds: ConcurrencyBounds,
  nowMs: number,
): ConcurrencyState {
  const comparison = wasLimitReached ? compared(before.usual, seen) : undefined;
  const state = { ...before, window: undefined, roundTripMs: meanMs(seen) };
  if (comparison !== undefined && state.trial !== undefined && !hasPaid(state.trial, state.limit, comparison))
    return takenBack(state, state.trial, bounds, nowMs);
  // Learnt whatever it comes to, or a server that has changed for good would stay a slow one for ever.
  const wiser = { ...state, usual: learned(state.usual, seen, nowMs), trial: undefined };
  if (comparison === undefined) return wiser;
  if (isSlow(comparison)) return { ...moved(wiser, lowered(state.limit, bounds), nowMs), direction: 'up' };
  if (comparison.excessMs > CALM_RATIO * comparison.expectedMs) return wiser;
  if (state.restWindows > 0) return { ...wiser, restWindows: state.restWindows - 1 };
  return trying(wiser, bounds, nowMs);
}

function isSlow({ excessMs, expectedMs, spreadMs, requests }: Comparison): boolean {
  return excessMs > Math.max(DEVIATIONS * spreadMs, NOISE_RATIO * expectedMs, NOISE_MS * requests);
}

/** One more pays unless everybody waits longer for it; one less pays if everybody waits less. */
function hasPaid(trial: Direction, limit: number, { excessMs, expectedMs, requests }: Comparison): boolean {
  const before = trial === 'up' ? limit - 1 : limit + 1;
  const matters = Math.max((TRIAL_RATIO * expectedMs) / before, NOISE_MS * requests);
  return trial === 'up' ? excessMs <= matters : excessMs <= -matters;
}

/** Its round trips are forgotten: they were those of a limit that is no more. */
function takenBack(
  state: ConcurrencyState,
  trial: Direction,
  bounds: ConcurrencyBounds,
  nowMs: number,
): ConcurrencyState {
  const limit = trial === 'up' ? state.limit - 1 : state.limit + 1;
  const isSettled = trial === 'down' || limit === bounds.min;
  const direction = isSettled ? 'up' : 'down';
  return { ...moved(state, limit, nowMs), direction, restWindows: isSettled ? REST_WINDOWS : 0 };
}

function trying(state: ConcurrencyState, bounds: ConcurrencyBounds, nowMs: number): ConcurrencyState {
  const direction = state.limit === bounds.min ? 'up' : state.direction;
  const limit = direction === 'up' ? Math.min(bounds.max, state.limit + 1) : state.limit - 1;
  return limit === state.limit ? state : { ...moved(state, limit, nowMs), trial: direction, direction };
}

function lowered(limit: number, { min }: ConcurrencyBounds): number {
  return Math.max(min, Math.floor(limit * DECREASE_RATIO));
}

/** Whatever was being measured was measured at another limit. */
function moved(state: ConcurrencyState, limit: number, nowMs: number): ConcurrencyState {
  const changedAtMs = limit === state.limit ? state.changedAtMs : nowMs;
  return { ...state, limit, changedAtMs, window: undefined, trial: undefined };
}
