import { setTimeout as sleep } from 'node:timers/promises';
import { type Backoff, backoffDelay, systemClock, systemRandom } from '@nest-baton/core';
import { isLostConnection } from './lost-connection.js';

/** A restart of the server or a failover of a managed one is mostly over by then. */
const PATIENCE_MS = 10_000;

const BACKOFF: Backoff = { baseMs: 50, factor: 2, capMs: 1_000, jitter: 'equal' };

/** What came of it, and whether an attempt before may have come through unanswered. */
export interface Patient<T> {
  readonly result: T;
  readonly wasSentBefore: boolean;
}

/**
 * Repeats what may safely run twice while the connection is lost, for at most 10 s after the first loss.
 *
 * @throws LostConnection the last one; `wasSent` when any of the attempts had left.
 */
export async function repeatWhileLost<T>(attempt: () => Promise<T>, stop?: AbortSignal): Promise<Patient<T>> {
  const deadline = { at: Infinity };
  let wasSent = false;
  for (let failures = 1; ; failures++) {
    try {
      return { result: await attempt(), wasSentBefore: wasSent };
    } catch (error) {
      if (!isLostConnection(error)) throw error;
      wasSent ||= error.wasSent;
      if (failures === 1) deadline.at = systemClock.monotonic() + PATIENCE_MS;
      const delay = backoffDelay(failures, BACKOFF, systemRandom);
      if (stop?.aborted === true || systemClock.monotonic() + delay > deadline.at)
        throw wasSent === error.wasSent ? error : Object.assign(error, { wasSent });
      // Stopped meanwhile: one more attempt tells the caller what is the matter.
      await sleep(delay, undefined, stop === undefined ? {} : { signal: stop }).catch(() => undefined);
    }
  }
}
