import type { HandoffNotification, TerminationReason } from './handoff-notification.js';
import { NotificationQueue } from './notification-queue.js';
import { NotifyingWorker } from './notifying-worker.js';

export interface NotificationSource {
  /** @throws NotificationsTakenError when this process takes work of the instance in another way already. */
  readonly open: () => void;
  /** Takes work from now on. */
  readonly start: () => Promise<void>;
  /** Takes no more, and returns when nothing runs. */
  readonly stop: () => Promise<void>;
  readonly onDropped: () => void;
}

/**
 * Hand-offs for those who pull.
 *
 * - Nothing is read before the first pull. A pull that cannot start rejects with the error that would have kept an application with a handler
 *   from starting, and ends the iteration.
 * - `return()`, which `break` calls, says that the consumer has stopped: what it has not settled is handed back, signals aborted, before it returns.
 * - One iterator: a second is refused.
 */
export class HandoffNotifications implements AsyncIterableIterator<HandoffNotification, undefined> {
  readonly queue: NotificationQueue;
  readonly worker: NotifyingWorker;
  private isOpen = false;
  private started: Promise<void> | undefined;
  private ended: Promise<void> | undefined;

  constructor(private readonly source: NotificationSource) {
    this.queue = new NotificationQueue(source.onDropped);
    this.worker = new NotifyingWorker(this.queue);
  }

  /** @throws NotificationsTakenError */
  [Symbol.asyncIterator](): this {
    if (this.ended === undefined) this.source.open();
    this.isOpen = true;
    return this;
  }

  async next(): Promise<IteratorResult<HandoffNotification, undefined>> {
    if (!this.isOpen) this[Symbol.asyncIterator]();
    if (this.ended === undefined) await (this.started ??= this.start());
    return this.queue.pull();
  }

  async return(): Promise<IteratorResult<HandoffNotification, undefined>> {
    await (this.ended ??= this.stop());
    return { done: true, value: undefined };
  }

  /** The last notification has come. */
  terminate(reason: TerminationReason, error?: unknown): void {
    this.ended ??= Promise.resolve();
    this.worker.giveBackAll();
    this.queue.push({ type: 'StreamTerminated', reason, error });
    this.queue.end();
  }

  /** Whatever became of the first pull. */
  async settled(): Promise<void> {
    await this.started?.catch(() => undefined);
  }

  private async start(): Promise<void> {
    try {
      await this.source.start();
    } catch (error) {
      this.ended ??= Promise.resolve();
      this.queue.clear();
      throw error;
    }
  }

  private async stop(): Promise<void> {
    await this.settled();
    const stopping = this.source.stop();
    this.worker.giveBackAll();
    this.queue.clear();
    await stopping;
  }
}
