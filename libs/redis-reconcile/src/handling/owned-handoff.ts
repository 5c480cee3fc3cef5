import { type Clock, LeaseLostError } from '@nest-baton/core';
import type { Partition } from '../partitions/partition.js';
import type { HandoffEntry } from '../producing/handoff-entry.js';
import { HandoffInvalidError } from '../redis-reconcile.errors.js';
import type { Handoff } from './handoff.js';

/**
 * What this process knows about its ownership.
 *
 * - `held`: by the server's last word. Ended by a deadline, a lost record, or the owner's own last word.
 * - `lapsed`: not renewed in time, so not certain any more. The record may still be ours: a last word is still tried, a new lease never.
 * - `lost`: the record belongs to somebody else, or is gone.
 * - `settled`: done, handed back or refused by us.
 */
export type OwnershipState = 'held' | 'lapsed' | 'lost' | 'settled';

export type LastWord = 'done' | 'handBack' | 'refuse';

/** Is told what becomes of an ownership, beside its signal. */
export interface OwnershipWatcher {
  readonly onSettled: (word: LastWord) => void;
  /** It is lost, or not certain any more. */
  readonly onLost: (reason: string) => void;
}

interface Ownership {
  readonly partition: Partition;
  readonly entry: HandoffEntry;
  readonly token: string;
  readonly fence: number;
  readonly consumer: string;
  readonly deadline: number;
  readonly clock: Clock;
  readonly onLapse: (handoff: OwnedHandoff, reason: string) => void;
}

/**
 * A hand-off that this process owns.
 *
 * - Trusts only its own monotonic clock: past the deadline (sending time of the last renewal that worked, plus the lease) nothing is certain, also
 *   when the process was stopped and no timer has run yet. `assertOwned()` and `signal` look at the clock whenever they are used.
 */
export class OwnedHandoff<Info = unknown> implements Handoff<Info> {
  /** Of the entry in the stream. */
  readonly id: string;
  readonly handoffId: string;
  readonly dataStream: string;
  readonly info: Info;
  readonly attempt: number;
  /** Of the call that handed it off. */
  readonly trace: string | undefined;
  readonly consumer: string;
  readonly partition: Partition;
  readonly token: string;
  /** A renewal is on its way. */
  isRenewing = false;
  /** The last word that is being said; whatever is said next waits for it. */
  saying: Promise<void> | undefined;
  /** Handed back over the head of its handler, which may still run: whatever it finishes then is not done. */
  isTakenFromHandler = false;
  /** It lapsed, and its handler has had its time to settle. */
  isGraceOver = false;
  /** Shutdown wants the work back: a throw hands it back and is not a failure. */
  isWantedBack = false;
  nextRenewalAt = 0;
  /** Nobody works on it: handed back whatever shutdown does with what is unfinished. */
  isUntouched = false;
  watcher: OwnershipWatcher | undefined;
  /** Our own last word, once it counts. */
  lastWord: LastWord | undefined;
  private currentFence: number;
  private currentDeadline: number;
  private currentState: OwnershipState = 'held';
  /** Last words that were sent and whose answer never came. */
  private uncertainWords: readonly LastWord[] = [];
  /** Made when somebody looks at the signal: most handlers never do. */
  private controller: AbortController | undefined;
  private abortedFor: Error | undefined;

  constructor(private readonly ownership: Ownership) {
    const { entry, partition, token, consumer } = ownership;
    this.id = entry.id;
    this.handoffId = entry.handoffId;
    this.dataStream = entry.dataStream;
    this.info = entry.info as Info;
    this.attempt = entry.count + 1;
    this.trace = entry.trace;
    this.consumer = consumer;
    this.partition = partition;
    this.token = token;
    this.currentFence = ownership.fence;
    this.currentDeadline = ownership.deadline;
  }

  get fence(): number {
    return this.currentFence;
  }

  get deadline(): number {
    return this.currentDeadline;
  }

  get state(): OwnershipState {
    return this.currentState;
  }

  get signal(): AbortSignal {
    this.checkDeadline();
    this.controller ??= new AbortController();
    if (this.abortedFor !== undefined) this.controller.abort(this.abortedFor);
    return this.controller.signal;
  }

  assertOwned(): void {
    this.checkDeadline();
    if (this.currentState === 'held') return;
    throw new LeaseLostError(
      `The lease on data stream '${this.dataStream}' is ${this.currentState === 'settled' ? 'given back' : 'lost'}: its work may have another owner by now.`,
    );
  }

  async raiseFence(seen: number): Promise<void> {
    if (!Number.isSafeInteger(seen) || seen >= Number.MAX_SAFE_INTEGER)
      throw new HandoffInvalidError(`A fence must be a whole number below 2^53 - 1, not ${seen}.`);
    this.assertOwned();
    const raised = await this.partition.raiseFence(this.dataStream, this.token, seen, this.currentFence);
    if (raised === undefined) {
      this.lose('another owner has the data stream');
      throw new LeaseLostError(`Data stream '${this.dataStream}' has another owner by now.`);
    }
    this.currentFence = Math.max(this.currentFence, raised);
  }

  /** A renewal that was sent at this deadline minus the lease has worked. A hand-off that lapsed stays lapsed. */
  extend(deadline: number): void {
    if (this.currentState === 'held') this.currentDeadline = Math.max(this.currentDeadline, deadline);
  }

  /** Past the deadline: what was certain is not any more. */
  checkDeadline(): void {
    if (this.ownership.clock.monotonic() >= this.currentDeadline) this.lapse();
  }

  /** The lease ran out, by our clock or by the server's word. */
  lapse(): void {
    if (this.currentState !== 'held') return;
    this.currentState = 'lapsed';
    this.ended('the lease was not renewed in time', true);
  }

  lose(reason: string): void {
    const before = this.currentState;
    if (before === 'lost' || before === 'settled') return;
    this.currentState = 'lost';
    this.ended(reason, before === 'held');
  }

  settle(word: LastWord): void {
    this.currentState = 'settled';
    this.lastWord = word;
    this.watcher?.onSettled(word);
  }

  /** The word was sent, and its answer never came. */
  doubt(word: LastWord): void {
    if (!this.uncertainWords.includes(word)) this.uncertainWords = [...this.uncertainWords, word];
  }

  /** Nothing but this word can have ended our ownership: a retry of it may be told that it had arrived. */
  isRetryOf(word: LastWord): boolean {
    return this.uncertainWords.length === 1 && this.uncertainWords[0] === word;
  }

  /** The work is wanted back, and is still ours. */
  abortFor(reason: Error): void {
    this.isWantedBack = true;
    this.abort(reason);
  }

  private ended(reason: string, isNews: boolean): void {
    this.abort(new LeaseLostError(`Ownership of data stream '${this.dataStream}' ended: ${reason}.`));
    if (!isNews) return;
    this.ownership.onLapse(this, reason);
    this.watcher?.onLost(reason);
  }

  /** The first reason counts. */
  private abort(reason: Error): void {
    this.abortedFor ??= reason;
    this.controller?.abort(reason);
  }
}
