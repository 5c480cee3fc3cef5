import { ShuttingDownError } from '@nest-baton/core';
import type { HandoffWorker } from '../handling/handoff-handler.decorator.js';
import type { OwnedHandoff } from '../handling/owned-handoff.js';
import type { NotificationQueue } from './notification-queue.js';

/**
 * The handler of those who pull: tells of a hand-off and waits for the last word on it.
 *
 * - Holds its slot of the capacity from the acquisition until it is done, released or known to be disowned, so that a consumer that does not
 *   pull gets no more work.
 * - What nobody has seen yet is handed back without a word, when it lapses as when everything ends.
 */
export class NotifyingWorker implements HandoffWorker {
  private readonly open = new Map<OwnedHandoff, (reason: Error) => void>();
  private isClosed = false;

  constructor(private readonly queue: NotificationQueue) {}

  handle(handoff: OwnedHandoff): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const end = (settle: () => void): void => {
        this.open.delete(handoff);
        settle();
      };
      this.open.set(handoff, (reason) => end(() => reject(reason)));
      handoff.watcher = {
        onSettled: (word) => end(() => (word === 'done' ? resolve() : reject(new Error('handed back')))),
        onLost: (reason) => this.tellLost(handoff, reason),
      };
      if (this.isClosed) this.giveBack(handoff);
      else this.queue.push({ type: 'StreamAdded', handoff });
    });
  }

  /** From now on nothing more is told as added; what nobody has seen goes back. */
  close(): void {
    this.isClosed = true;
    for (const handoff of this.open.keys()) if (this.queue.withdraw(handoff)) this.giveBack(handoff);
  }

  /** Everything goes back, its consumer does not work on it any more. */
  giveBackAll(): void {
    this.close();
    for (const handoff of this.open.keys()) this.giveBack(handoff);
  }

  private tellLost(handoff: OwnedHandoff, reason: string): void {
    const giveUp = (): void => this.open.get(handoff)?.(handoff.signal.reason as Error);
    if (this.queue.withdraw(handoff)) giveUp();
    else this.queue.push({ type: 'StreamDisowned', handoff, reason }, giveUp);
  }

  private giveBack(handoff: OwnedHandoff): void {
    const reason = new ShuttingDownError('Hand-offs are not told any more: this one is handed back.');
    handoff.isUntouched = true;
    handoff.abortFor(reason);
    this.open.get(handoff)?.(reason);
  }
}
