import { type Duration, parseDuration } from '@nest-baton/core';
import { EndpointInvalidError } from '../webhook-outbox.errors.js';

/** What an endpoint bears; `null`, or left out by `create`: as the module's options say. */
export interface EndpointLimits {
  /** Instead of the module's `schedule`: pauses after each failed attempt. Empty: one attempt. */
  readonly schedule?: readonly Duration[] | null;
  /** Instead of the module's `maxInFlight`: requests at one time by one process, 1 to 1 000. */
  readonly maxInFlight?: number | null;
  /** Requests of all processes together; without: as many as there are. */
  readonly rate?: EndpointRate | null;
  /**
   * Deliveries that all processes together have claimed and not settled, 1 to 1 000; without: `maxInFlight` of each process. Too small and its requests wait
   * for outcomes to be written.
   */
  readonly globalMaxInFlight?: number | null;
}

export interface EndpointRate {
  /** 0.001 to 10 000. */
  readonly perSecond: number;
  /** Requests at once after a pause. Too small and what comes between two looks is not used. 1 to 100 000; default: those of a second, at least 1. */
  readonly burst?: number;
}

export const LIMIT_NAMES = ['schedule', 'maxInFlight', 'rate', 'globalMaxInFlight'] as const;

/** As stored. Undefined: not given. */
export interface CheckedLimits {
  readonly scheduleMs: readonly number[] | null | undefined;
  readonly maxInFlight: number | null | undefined;
  readonly rate: Required<EndpointRate> | null | undefined;
  readonly globalMaxInFlight: number | null | undefined;
}

const MOST_PAUSES = 100;
const LONGEST_PAUSE_MS = 30 * 24 * 3_600_000;
const MOST_IN_FLIGHT = 1_000;
const LOWEST_RATE = 0.001;
const HIGHEST_RATE = 10_000;
const MOST_BURST = 100_000;

/** Pure. @throws EndpointInvalidError */
export function checkLimits({ schedule, maxInFlight, rate, globalMaxInFlight }: EndpointLimits): CheckedLimits {
  return {
    scheduleMs: schedule === undefined || schedule === null ? schedule : checkSchedule(schedule),
    maxInFlight: checkCount('maxInFlight', maxInFlight),
    rate: rate === undefined || rate === null ? rate : checkRate(rate),
    globalMaxInFlight: checkCount('globalMaxInFlight', globalMaxInFlight),
  };
}

/** Column, its type and its value, of what was given. */
export function limitColumns({
  scheduleMs,
  maxInFlight,
  rate,
  globalMaxInFlight,
}: CheckedLimits): readonly LimitColumn[] {
  const all: readonly LimitColumn[] = [
    { column: 'schedule_ms', type: 'float8[]', value: scheduleMs },
    { column: 'max_in_flight', type: 'integer', value: maxInFlight },
    { column: 'rate_per_second', type: 'float8', value: rate && rate.perSecond },
    { column: 'rate_burst', type: 'integer', value: rate && rate.burst },
    { column: 'global_max_in_flight', type: 'integer', value: globalMaxInFlight },
  ];
  return all.filter(({ value }) => value !== undefined);
}

export interface LimitColumn {
  readonly column: string;
  readonly type: string;
  readonly value: unknown;
}

function checkSchedule(schedule: readonly unknown[]): readonly number[] {
  if (!Array.isArray(schedule) || schedule.length > MOST_PAUSES)
    throw new EndpointInvalidError(`schedule must be a list of at most ${MOST_PAUSES} durations, or null.`);
  return schedule.map((pause: unknown, index) => {
    const ms = parseDuration(pause);
    if (ms === undefined || ms > LONGEST_PAUSE_MS)
      throw new EndpointInvalidError(`schedule[${index}] must be a duration of at most 30 days such as '5m'.`);
    return ms;
  });
}

function checkCount(name: string, count: number | null | undefined): number | null | undefined {
  if (count === undefined || count === null) return count;
  if (!Number.isSafeInteger(count) || count < 1 || count > MOST_IN_FLIGHT)
    throw new EndpointInvalidError(`${name} must be a whole number from 1 to ${MOST_IN_FLIGHT}, or null.`);
  return count;
}

function checkRate(rate: EndpointRate): Required<EndpointRate> {
  const { perSecond } = rate;
  if (typeof perSecond !== 'number' || !(perSecond >= LOWEST_RATE && perSecond <= HIGHEST_RATE))
    throw new EndpointInvalidError(`rate.perSecond must be a number from ${LOWEST_RATE} to ${HIGHEST_RATE}.`);
  const { burst = Math.max(1, Math.ceil(perSecond)) } = rate;
  if (!Number.isSafeInteger(burst) || burst < 1 || burst > MOST_BURST)
    throw new EndpointInvalidError(`rate.burst must be a whole number from 1 to ${MOST_BURST}.`);
  return { perSecond, burst };
}
