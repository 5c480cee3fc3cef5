import { type Duration, OptionsInvalidError, parseDuration } from '@nest-baton/core';

const LONGEST_MS = 365 * 86_400_000;

/** Until the next sweep; pure. @throws OptionsInvalidError */
export function checkDelay(subject: string, delay: Duration): number {
  const ms = parseDuration(delay);
  if (ms === undefined || ms > LONGEST_MS)
    throw new OptionsInvalidError(subject, ['delay must be a duration of at most 365 days']);
  return ms;
}
