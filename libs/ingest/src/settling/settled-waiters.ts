interface Waiter {
  readonly generation: number;
  readonly resolve: () => void;
}

/** Whoever waits until everything that was handed in before has settled: flushes and the close. */
export class SettledWaiters {
  private readonly waiters = new Set<Waiter>();

  /** @param oldest the generation of the oldest document that has not settled, or Infinity. */
  constructor(private readonly oldest: () => number) {}

  /** How many wait. */
  get size(): number {
    return this.waiters.size;
  }

  /** Resolves when nothing of this generation and older is left. Whose signal fires is forgotten, and gets no answer. */
  until(generation: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted === true) return;
      const forget = (): void => void this.waiters.delete(waiter);
      const waiter: Waiter = {
        generation,
        resolve: () => {
          signal?.removeEventListener('abort', forget);
          resolve();
        },
      };
      signal?.addEventListener('abort', forget, { once: true });
      this.waiters.add(waiter);
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
