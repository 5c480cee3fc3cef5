/**
 * - `up`: Redis answers, and orphans are found: by expiry events with the scan behind them, or by the scan alone where events are off on
 *   purpose. `producing`: this process has no handler, and finds none.
 * - `degraded`: so it does, with something amiss.
 *   `events_lost`: expiry events were asked for and do not arrive, or the server does not let us see whether; the scan alone finds orphans.
 * - `down`: nothing can be handed off.
 *   `redis`: it refuses PING, or does not answer within `commandTimeout`, 3 s at most. `closed`: the application has shut down.
 */
export type RedisReconcileHealth =
  | { readonly state: 'up'; readonly mode: 'listening' | 'scanning' | 'producing' }
  | { readonly state: 'degraded'; readonly mode: 'scanning'; readonly reason: 'events_lost'; readonly message: string }
  | { readonly state: 'down'; readonly reason: 'redis' | 'closed'; readonly message: string };

export interface ReconcileFacts {
  readonly hasHandler: boolean;
  /** `undefined`: they were not asked for. */
  readonly events: { readonly isCovered: boolean; readonly reason: string } | undefined;
}

/** What an operator needs to know when Redis has answered; pure. */
export function decideHealth({ hasHandler, events }: ReconcileFacts): RedisReconcileHealth {
  if (!hasHandler) return { state: 'up', mode: 'producing' };
  if (events === undefined) return { state: 'up', mode: 'scanning' };
  if (events.isCovered) return { state: 'up', mode: 'listening' };
  return {
    state: 'degraded',
    mode: 'scanning',
    reason: 'events_lost',
    message: `expiry events do not arrive, the scan goes on: ${events.reason}`,
  };
}
