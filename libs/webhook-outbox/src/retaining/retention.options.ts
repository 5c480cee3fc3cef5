import { type Duration, OptionsCheck } from '@nest-baton/core';

/** How long a delivery is kept in the state it came to, with its attempts. Give all processes of a schema the same. Each 0 to 10 years. */
export interface RetentionOptions {
  /**
   * Also how long the id of an event stays taken. Too small and a repeated `send` is a second event; too large fills the disk. 0: success deletes, in
   * the statement that records it, and the history of it too. Default 24 h.
   */
  readonly delivered?: Duration;
  /** Too small and there is nothing to replay once the receiver is repaired. Default 30 d. */
  readonly failed?: Duration;
  /** As `failed`. Default 30 d. */
  readonly dead?: Duration;
  /** As `failed`. Default 30 d. */
  readonly abandoned?: Duration;
  /** After which it becomes `expired`. Too small and an endpoint that is enabled again has nothing to catch up with. Default 30 d. */
  readonly parked?: Duration;
  /** From then on; it can be replayed until it is removed. Default 30 d. */
  readonly expired?: Duration;
}

/** In milliseconds. */
export type ResolvedRetention = Readonly<Record<keyof RetentionOptions, number>>;

export const RETENTION_DEFAULTS = Object.freeze({
  delivered: '24h',
  failed: '30d',
  dead: '30d',
  abandoned: '30d',
  parked: '30d',
  expired: '30d',
} satisfies RetentionOptions);

const KEYS = Object.keys(RETENTION_DEFAULTS) as (keyof RetentionOptions)[];

const LONGEST_MS = 3_650 * 86_400_000;

/** Pure. Reports what is wrong to `onProblem`. */
export function resolveRetention(
  given: RetentionOptions | undefined,
  onProblem: (problem: string) => void,
): ResolvedRetention {
  const check = new OptionsCheck<RetentionOptions>('retention', given, KEYS);
  const keep = (key: keyof RetentionOptions) => check.duration(key, RETENTION_DEFAULTS[key], { max: LONGEST_MS });
  const retention: ResolvedRetention = {
    delivered: keep('delivered'),
    failed: keep('failed'),
    dead: keep('dead'),
    abandoned: keep('abandoned'),
    parked: keep('parked'),
    expired: keep('expired'),
  };
  for (const problem of check.problems) onProblem(`retention.${problem}`);
  return Object.freeze(retention);
}
