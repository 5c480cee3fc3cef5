/** The longest that a free slot, or an outcome, waits for others to share a statement with. */
export const GATHER_MS = 5;

/**
 * When slots that have freed are to be used again: when they are half of all, so at once where there is one, and after a few milliseconds at most. A
 * claim for each would cost the database more than the sending.
 */
export class Refilling {
  /** Since the last claim. */
  private freed = 0;
  private timer: NodeJS.Timeout | undefined;
  private isStopped = false;

  constructor(private readonly refill: () => void) {}

  /** @param busy slots that are still taken. */
  slotFreed(busy: number): void {
    if (this.isStopped) return;
    if (++this.freed >= busy) this.now();
    else this.timer ??= setTimeout(() => this.now(), GATHER_MS);
  }

  /** A claim sees what is free. */
  claiming(): void {
    this.freed = 0;
  }

  stop(): void {
    this.isStopped = true;
    clearTimeout(this.timer);
  }

  private now(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.refill();
  }
}
