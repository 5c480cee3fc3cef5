/** No server makes us wait longer. */
export const MAX_RETRY_AFTER_MS = 60_000;

/**
 * Milliseconds that a Retry-After header asks for, at most 60 s; pure. Whole seconds or an HTTP date; `undefined` for anything else, also
 * for zero, the past and garbage.
 */
export function retryAfterMs(header: string | undefined, nowMs: number): number | undefined {
  const text = header?.trim() ?? '';
  const asked = /^\d+$/.test(text) ? Number(text) * 1_000 : dateMs(text) - nowMs;
  return asked > 0 ? Math.min(asked, MAX_RETRY_AFTER_MS) : undefined;
}

/** Dates have a weekday and a comma in every form but one, so that `-5` or `2030` is no date. */
function dateMs(text: string): number {
  return /^[A-Za-z]{3,9},? /.test(text) ? Date.parse(text) : NaN;
}
