/**
 * The slots of one handler: as many hand-offs at a time as it asked for.
 *
 * - First come, first served: partitions that wait for a slot take turns.
 */
export class Capacity {
  private free: number;
  private readonly waiters: ((taken: boolean) => void)[] = [];
  private isClosed = false;

  constructor(readonly size: number) {
    this.free = size;
  }

  get inUse(): number {
    return this.size - this.free;
  }

  /** Others wait for a slot. */
  get isWanted(): boolean {
    return this.waiters.length > 0;
  }

  /** Waits for one slot. False: closed meanwhile, and no slot is held. */
  take(): Promise<boolean> {
    if (this.isClosed) return Promise.resolve(false);
    if (this.free > 0) {
      this.free--;
      return Promise.resolve(true);
    }
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  /** Takes at most `count` slots that are free now. */
  takeFree(count: number): number {
    const taken = Math.max(0, Math.min(count, this.free - this.waiters.length));
    this.free -= taken;
    return taken;
  }

  release(count = 1): void {
    for (let i = 0; i < count; i++) {
      const next = this.waiters.shift();
      if (next === undefined) this.free++;
      else next(true);
    }
  }

  close(): void {
    this.isClosed = true;
    for (const waiter of this.waiters.splice(0)) waiter(false);
  }
}
