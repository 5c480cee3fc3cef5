import {
  type Backoff,
  backoffDelay,
  describeError,
  LeaseLostError,
  parseDuration,
  type Random,
} from '@nest-baton/core';
import type { TypedEvents } from '@nest-baton/core';
import type { Settled } from '../partitions/partition.js';
import { NackError } from '../redis-reconcile.errors.js';
import type { RedisReconcileEvents } from '../redis-reconcile.events.js';
import { DoneCalls } from './done-calls.js';
import type { LeaseKeeper } from './lease-keeper.js';
import type { LastWord, OwnedHandoff } from './owned-handoff.js';

/** Characters of an error that are kept with a hand-off. */
const MAX_ERROR = 500;
/** A longer hold than this is a mistake, and beyond some length the server takes none. */
const MAX_DELAY_MS = 30 * 86_400_000;

export interface SettlementOptions {
  readonly keeper: LeaseKeeper;
  readonly events: TypedEvents<RedisReconcileEvents>;
  readonly nackBackoff: Backoff;
  readonly maxRetries: number;
  readonly dlqMaxLen: number;
  readonly random: Random;
  /** A hold was set: the hand-off is due again after `delayMs`. */
  readonly onHeld: (handoff: OwnedHandoff, delayMs: number) => void;
  readonly onBuried: () => void;
}

/**
 * An owner's last words: done, back unfinished, refused.
 *
 * - One at a time for a hand-off, and only one counts: whatever comes after it does nothing. Except a done after the work was taken from
 *   its handler (lapse, shutdown, a release from elsewhere): LEASE_LOST.
 * - Accepted while the record carries our token, also when the lease has just lapsed; else LEASE_LOST, and nothing was written.
 * - A call that fails keeps everything as it was, so that it can be made again; the server tells whether the first had arrived. When two
 *   different words got no answer nobody can tell which of them arrived: LEASE_LOST.
 */
export class Settlement {
  private readonly doneCalls = new DoneCalls();

  constructor(private readonly options: SettlementOptions) {}

  /** @throws LeaseLostError; RedisUnavailableError: call again. */
  done(handoff: OwnedHandoff): Promise<void> {
    return this.inTurn(handoff, 'done', async () => {
      this.accept(handoff, 'done', await this.doneCalls.add(handoff));
      this.options.events.emit('done', describe(handoff));
    });
  }

  /**
   * Acknowledges it as if it were done, and tells that it is not.
   *
   * @throws LeaseLostError; RedisUnavailableError: call again.
   */
  abandon(handoff: OwnedHandoff): Promise<void> {
    return this.inTurn(handoff, 'done', async () => {
      this.accept(handoff, 'done', await this.doneCalls.add(handoff));
      this.options.events.emit('abandoned', describe(handoff));
    });
  }

  /** @throws LeaseLostError; RedisUnavailableError: call again. */
  handBack(handoff: OwnedHandoff, reason: string, releasedWhileRunning: boolean): Promise<void> {
    return this.inTurn(handoff, 'handBack', async () => {
      const { partition, dataStream, token } = handoff;
      const text = reason.slice(0, MAX_ERROR);
      const call = partition.handBack(dataStream, token, handoff.isRetryOf('handBack'), text);
      const settled = await call.catch((error: unknown) => {
        handoff.doubt('handBack');
        throw error;
      });
      // Whoever pulls may go on working all the same: only a handler is known to have settled.
      if (settled !== 'lost') handoff.isTakenFromHandler = releasedWhileRunning || handoff.watcher !== undefined;
      this.accept(handoff, 'handBack', settled);
      this.options.events.emit('released', { ...describe(handoff), reason, releasedWhileRunning });
    });
  }

  /** @throws LeaseLostError; RedisUnavailableError: call again. */
  refuse(handoff: OwnedHandoff, thrown: unknown): Promise<void> {
    return this.inTurn(handoff, 'refuse', async () => {
      const { nackBackoff, maxRetries, dlqMaxLen: cap, random, events, onHeld, onBuried } = this.options;
      const delayMs = chosenDelay(thrown) ?? backoffDelay(handoff.attempt, nackBackoff, random);
      const error = describeError(thrown).slice(0, MAX_ERROR);
      const { partition, dataStream, token } = handoff;
      const held = await partition.hold(dataStream, token, { delayMs, error, maxRetries, cap });
      if (held.outcome === 'lost') throw this.lossOf(handoff);
      this.settled(handoff, 'refuse');
      if (held.outcome !== 'buried') {
        events.emit('nacked', { ...describe(handoff), delayMs, error });
        onHeld(handoff, delayMs);
        return;
      }
      const { attempts } = held;
      events.emit('deadLettered', { ...describe(handoff), attempts, reason: 'max_retries_exceeded' });
      onBuried();
    });
  }

  private inTurn(handoff: OwnedHandoff, word: LastWord, say: () => Promise<void>): Promise<void> {
    const next = (): Promise<void> => this.say(handoff, word, say);
    return (handoff.saying = handoff.saying === undefined ? next() : handoff.saying.then(next, next));
  }

  private say(handoff: OwnedHandoff, word: LastWord, say: () => Promise<void>): Promise<void> {
    const isSettled = handoff.state === 'settled';
    // A record that is gone may be the work of our own done: only the server knows.
    const isLost = handoff.state === 'lost' && !(word === 'done' && handoff.isRetryOf('done'));
    if (isLost || (isSettled && word === 'done' && handoff.isTakenFromHandler))
      return Promise.reject(this.lossOf(handoff));
    return isSettled ? Promise.resolve() : say();
  }

  private accept(handoff: OwnedHandoff, word: LastWord, settled: Settled): void {
    if (settled === 'lost') throw this.lossOf(handoff);
    this.settled(handoff, word);
  }

  private settled(handoff: OwnedHandoff, word: LastWord): void {
    handoff.settle(word);
    this.options.keeper.remove(handoff);
  }

  private lossOf(handoff: OwnedHandoff): LeaseLostError {
    handoff.lose('another owner has the data stream, or its record is gone');
    return new LeaseLostError(
      `Data stream '${handoff.dataStream}' was taken from this process before it could have its last word (fence ${handoff.fence}).`,
    );
  }
}

/** What events and logs say of a hand-off: never its info. */
export function describe({ handoffId, dataStream, attempt, fence }: OwnedHandoff) {
  return { handoffId, dataStream, attempt, fence };
}

/** By shape: two copies of this package have two NackErrors. */
function chosenDelay(thrown: unknown): number | undefined {
  if (!isNack(thrown)) return undefined;
  const delayMs = parseDuration(thrown.delay);
  return delayMs === undefined ? undefined : Math.min(delayMs, MAX_DELAY_MS);
}

export function isNack(thrown: unknown): thrown is NackError {
  return typeof thrown === 'object' && thrown !== null && (thrown as { code?: unknown }).code === 'NACK';
}
