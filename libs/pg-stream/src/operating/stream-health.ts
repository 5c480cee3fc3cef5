/**
 * - `up`: queries work, and readers are woken: by LISTEN, or by the poll alone where hints are off on purpose.
 * - `degraded`: so they do, with something amiss.
 *   `listener_lost`: LISTEN does not work, and the poll finds what it would have told. `listener_deaf`: LISTEN connects and hears nothing, as behind
 *   a transaction pooler.
 * - `down`: readers or writers wait for nothing.
 *   `database`: it refuses a query, or does not answer within 3 s. `nothing_wakes`: neither LISTEN nor the poll works. `closed`: the
 *   application has shut down.
 */
export type PgStreamHealth =
  | { readonly state: 'up'; readonly mode: 'listening' | 'polling' }
  | {
      readonly state: 'degraded';
      readonly mode: 'polling';
      readonly reason: 'listener_lost' | 'listener_deaf';
      readonly message: string;
    }
  | {
      readonly state: 'down';
      readonly reason: 'database' | 'nothing_wakes' | 'closed';
      readonly message: string;
    };

export interface StreamFacts {
  /** `off`: it was not asked for. */
  readonly listener: 'off' | 'listening' | 'lost' | 'deaf';
  /** Whether a stream whose hint was lost would be found. */
  readonly isPollWorking: boolean;
}

/** What an operator needs to know when the database has answered; pure. */
export function decideHealth({ listener, isPollWorking }: StreamFacts): PgStreamHealth {
  if (listener === 'listening') return { state: 'up', mode: 'listening' };
  if (!isPollWorking)
    return {
      state: 'down',
      reason: 'nothing_wakes',
      message: 'neither LISTEN nor the poll works: readers wait for nothing',
    };
  if (listener === 'off') return { state: 'up', mode: 'polling' };
  if (listener === 'deaf')
    return {
      state: 'degraded',
      mode: 'polling',
      reason: 'listener_deaf',
      message:
        'LISTEN connects and hears nothing, as behind a transaction pooler: point listenConnectionString to Postgres itself; the poll goes on',
    };
  return { state: 'degraded', mode: 'polling', reason: 'listener_lost', message: 'LISTEN was lost; the poll goes on' };
}
