import type { QueuedWebhook, WebhookQueue } from './webhook-queue.js';

export interface HandOverHooks {
  readonly onEnded: (outcome: 'handed_over' | 'failed' | 'skipped') => void;
  readonly onFailed: (message: QueuedWebhook, error: unknown) => void;
}

/** A queue that does not answer must not fill the memory: what comes beyond it is left to the sweep. */
const MAX_PENDING = 1_000;

/**
 * Tells the queue. What it throws, what it rejects with and how long it takes reaches nobody but the hooks.
 *
 * - `hint` never waits and never fails.
 * - `tell` waits for the queue, but no longer than `timeoutMs` or until the signal.
 */
export class HandOver {
  private readonly pending = new Set<Promise<unknown>>();

  constructor(
    private readonly queue: WebhookQueue,
    private readonly timeoutMs: number,
    private readonly hooks: HandOverHooks,
  ) {}

  hint(message: QueuedWebhook): void {
    if (this.pending.size >= MAX_PENDING) return this.hooks.onEnded('skipped');
    void this.tell(message);
  }

  /** What went wrong, `undefined` when nothing did. */
  async tell(message: QueuedWebhook, signal?: AbortSignal): Promise<{ readonly error: unknown } | undefined> {
    const told = this.call(message, signal);
    this.pending.add(told);
    const failed = await told;
    this.pending.delete(told);
    this.hooks.onEnded(failed === undefined ? 'handed_over' : 'failed');
    if (failed !== undefined) this.hooks.onFailed(message, failed.error);
    return failed;
  }

  /** Returns when nobody waits for the queue, or after so long. */
  async stop(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<void>((resolve) => (timer = setTimeout(resolve, timeoutMs)));
    await Promise.race([Promise.all(this.pending), over]);
    clearTimeout(timer);
  }

  private async call(message: QueuedWebhook, signal?: AbortSignal): Promise<{ readonly error: unknown } | undefined> {
    let giveUp = (): void => undefined;
    const over = new Promise<never>((_, reject) => {
      giveUp = () => reject(new Error('the queue has not answered in time; it may have taken the message'));
    });
    const timer = setTimeout(giveUp, this.timeoutMs);
    signal?.addEventListener('abort', giveUp);
    try {
      await Promise.race([this.queue.send(message), over]);
      return undefined;
    } catch (error) {
      return { error };
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', giveUp);
    }
  }
}
