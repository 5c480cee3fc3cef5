/**
 * Nothing that a receiver does is in here: one that fails, hangs or flaps makes retries, dead letters and lag, for which there are metrics.
 *
 * - `up`: events become durable and, where a relay runs, are sent.
 * - `degraded`: so they do, with something amiss.
 *   `listener_lost`: LISTEN does not work, and the poll finds what other processes commit. `writes_failing`: attempts cannot be counted or outcomes
 *   not be written; it is tried again. `endpoints_unusable`: no key opens the secrets of some endpoints, whose deliveries wait.
 * - `down`: they do not.
 *   `database`: it refuses to tell the lag, or does not within 3 s. `relay_stopped`: this process should run a relay and does not.
 *   `relay_stalled`: none of its looks succeeded for 30 s (three times `pollInterval` where that is longer), or no write for 30 s.
 *   `closed`: the application has shut down.
 *
 * `haltedLines`: so many keys of endpoints with an order wait until somebody replays or abandons what was given up; not there when none does.
 */
export type WebhookOutboxHealth =
  | {
      readonly state: 'up';
      readonly mode: 'listening' | 'polling' | 'producing';
      readonly lagMs: number;
      readonly haltedLines?: number;
    }
  | {
      readonly state: 'degraded';
      readonly mode: 'listening' | 'polling';
      readonly reason: 'listener_lost' | 'writes_failing' | 'endpoints_unusable';
      readonly message: string;
      readonly lagMs: number;
      readonly haltedLines?: number;
    }
  | {
      readonly state: 'down';
      readonly reason: 'database' | 'relay_stopped' | 'relay_stalled' | 'closed';
      readonly message: string;
    };

export interface RelayFacts {
  readonly isRunning: boolean;
  /** Since the last look for due deliveries that succeeded. */
  readonly sinceLookMs: number;
  /** Since the first write that failed and has not succeeded since. */
  readonly writesFailingMs: number | undefined;
  readonly unusableEndpoints: number;
}

export interface OutboxFacts {
  /** `undefined` where none should run. */
  readonly relay: RelayFacts | undefined;
  /** `off`: it was not asked for. */
  readonly listener: 'off' | 'listening' | 'lost';
  readonly pollIntervalMs: number;
  readonly lagMs: number;
  readonly haltedLines: number;
}

const STALLED_AFTER_MS = 30_000;

/** What an operator needs to know when the database has answered; pure. */
export function decideHealth(facts: OutboxFacts): WebhookOutboxHealth {
  const { relay, listener, pollIntervalMs } = facts;
  const figures = { lagMs: facts.lagMs, ...(facts.haltedLines > 0 && { haltedLines: facts.haltedLines }) };
  if (relay === undefined) return { state: 'up', mode: 'producing', ...figures };
  if (!relay.isRunning) return { state: 'down', reason: 'relay_stopped', message: 'the relay does not run' };
  if (relay.sinceLookMs >= Math.max(STALLED_AFTER_MS, 3 * pollIntervalMs))
    return stalled(`no look for due deliveries succeeded for ${seconds(relay.sinceLookMs)}`);
  if ((relay.writesFailingMs ?? 0) >= STALLED_AFTER_MS)
    return stalled(`attempts or outcomes cannot be written for ${seconds(relay.writesFailingMs ?? 0)}`);
  const mode = listener === 'listening' ? 'listening' : 'polling';
  const degraded = (
    reason: 'listener_lost' | 'writes_failing' | 'endpoints_unusable',
    message: string,
  ): WebhookOutboxHealth => ({ state: 'degraded', mode, reason, message, ...figures });
  if (relay.writesFailingMs !== undefined)
    return degraded('writes_failing', 'attempts or outcomes cannot be written; it is tried again');
  if (listener === 'lost') return degraded('listener_lost', 'LISTEN was lost; the poll goes on');
  if (relay.unusableEndpoints > 0)
    return degraded('endpoints_unusable', `the secrets of ${relay.unusableEndpoints} endpoint(s) cannot be opened`);
  return { state: 'up', mode, ...figures };
}

function stalled(message: string): WebhookOutboxHealth {
  return { state: 'down', reason: 'relay_stalled', message };
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1_000)} s`;
}
