import type { ServerView } from './server-watch.js';

/**
 * - `up`: the server takes what it is sent.
 * - `degraded`: nothing is lost, but not everything goes its way.
 *   `paused`: the server asked for it. `failing`: the last attempt was not taken, and is repeated. `denied`: as below, longer than 30 s ago.
 *   `full`: calls wait for room.
 * - `down`: documents that are handed in do not get to the server.
 *   `denied`: it answered 401, 403, 404 or the like, and documents wait until it does not, or that was within the last 30 s. `stalled`: for `stalledAfter`, batches
 *   were tried and none was taken. `closed`: `close()` was called, so nothing is admitted.
 */
export type IngestHealth =
  | { readonly state: 'up' }
  | {
      readonly state: 'degraded';
      readonly reason: 'paused' | 'failing' | 'denied' | 'full';
      readonly message: string;
    }
  | { readonly state: 'down'; readonly reason: 'denied' | 'stalled' | 'closed'; readonly message: string };

export interface HealthFacts extends ServerView {
  readonly isClosing: boolean;
  /** What is left of a pause that the server asked for. */
  readonly pausedMs: number;
  readonly waitingDocs: number;
}

/**
 * While documents wait, they find out whether the server wants requests again. With none, a service that is not ready gets none: so a denial holds
 * for this long, and then lets the next documents find out.
 */
export const DENIAL_HOLDS_MS = 30_000;

/** What an operator needs to know; pure. Never tells addresses or the server's words. */
export function decideHealth(facts: HealthFacts, stalledAfterMs: number): IngestHealth {
  const { isClosing, denied, isTrying, stalledMs, pausedMs, isFailing, waitingDocs } = facts;
  if (isClosing) return { state: 'down', reason: 'closed', message: 'the service was closed' };
  const denial = denied && `the server does not want our requests: it answered ${denied.status}`;
  if (denial !== undefined && denied !== undefined && (isTrying || denied.agoMs < DENIAL_HOLDS_MS))
    return { state: 'down', reason: 'denied', message: denial };
  if (stalledMs >= stalledAfterMs)
    return { state: 'down', reason: 'stalled', message: `nothing was taken for ${seconds(stalledMs)}` };
  if (pausedMs > 0)
    return {
      state: 'degraded',
      reason: 'paused',
      message: `the server asked for a pause, ${seconds(pausedMs)} are left`,
    };
  if (denial !== undefined) return { state: 'degraded', reason: 'denied', message: denial };
  if (isFailing)
    return { state: 'degraded', reason: 'failing', message: 'the last attempt was not taken; it is repeated' };
  if (waitingDocs > 0)
    return { state: 'degraded', reason: 'full', message: `the buffer is full; ${waitingDocs} document(s) wait` };
  return { state: 'up' };
}

function seconds(ms: number): string {
  return `${Math.ceil(ms / 1_000)} s`;
}
