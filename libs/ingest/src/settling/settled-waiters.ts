interface Waiter {
  readonly generation: number;
  readonly resolve: () => void;
}

/** Whoever waits until everything that was handed in before has settled: flushes and the close. */
export class SettledWaiters {
  private readonly waiters = new Set<Waiter>();

  /** @param oldest the generation of the oldest document that has not settled, or Infinity. */
  constructor(private readonly oldest: () => number) {}

  /** Resolves when nothing of this generation and older is left. */
  until(generation: number): Promise<void> {
    return new Promise((resolve) => {
      this.waiters.add({ generation, resolve });
      this.tell();
    });
  }

  /** Documents may have settled. */
  tell(): void {
    if (this.waiters.size === 0) return;
    const oldest = this.oldest();
    for (const waiter of this.waiters) {
      if (oldest !== Infinity && oldest <= waiter.generation) continue;
      this.waiters.delete(waiter);
      waiter.resolve();
    }
  }
}
