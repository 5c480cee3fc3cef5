import type { Handoff } from '../handling/handoff.js';
import type { HandoffNotification } from './handoff-notification.js';

/** Hints that wait at most; the scan finds what they would have told. */
const MAX_HINTS = 500;

type Pull = (result: IteratorResult<HandoffNotification, undefined>) => void;

interface Item {
  readonly notification: HandoffNotification;
  readonly onTold: (() => void) | undefined;
}

/**
 * What was not pulled yet, in order.
 *
 * - Bounded by its callers: one `StreamAdded` or `StreamDisowned` for a slot of the capacity, and as many hints as fit.
 * - After `end()` what waits is still told, and then no more.
 */
export class NotificationQueue {
  private readonly items = new Set<Item>();
  private readonly added = new Map<Handoff, Item>();
  private readonly pulls: Pull[] = [];
  private hints = 0;
  private hasEnded = false;

  constructor(private readonly onDropped: () => void) {}

  /** @param onTold runs when somebody has pulled it, at once if somebody waits. */
  push(notification: HandoffNotification, onTold?: () => void): void {
    if (this.hasEnded) return;
    const pull = this.pulls.shift();
    if (pull !== undefined) {
      pull({ done: false, value: notification });
      return onTold?.();
    }
    if (notification.type === 'StreamExpired' && ++this.hints > MAX_HINTS) {
      this.hints--;
      return this.onDropped();
    }
    const item = { notification, onTold };
    this.items.add(item);
    if (notification.type === 'StreamAdded') this.added.set(notification.handoff, item);
  }

  /** True: nobody has seen this hand-off, and nobody will. */
  withdraw(handoff: Handoff): boolean {
    const item = this.added.get(handoff);
    if (item === undefined) return false;
    this.added.delete(handoff);
    return this.items.delete(item);
  }

  pull(): Promise<IteratorResult<HandoffNotification, undefined>> {
    const [item] = this.items;
    if (item === undefined)
      return this.hasEnded
        ? Promise.resolve({ done: true, value: undefined })
        : new Promise((resolve) => this.pulls.push(resolve));
    this.items.delete(item);
    const { notification, onTold } = item;
    if (notification.type === 'StreamAdded') this.added.delete(notification.handoff);
    if (notification.type === 'StreamExpired') this.hints--;
    onTold?.();
    return Promise.resolve({ done: false, value: notification });
  }

  end(): void {
    this.hasEnded = true;
    for (const pull of this.pulls.splice(0)) pull({ done: true, value: undefined });
  }

  /** Ends, and forgets what waits. */
  clear(): void {
    this.items.clear();
    this.added.clear();
    this.end();
  }
}
