/**
 * Holds a step exactly where it calls `pass()`, so that a race is forced and not hoped for. An injected collaborator calls `pass()`; the test
 * closes the gate, waits for `arrived()`, does what must happen in between, and opens it.
 *
 * - Closed at first; `openGate()` makes one that is open.
 * - `open()` lets go everyone who waits, and everyone later, until `close()`.
 */
export class Gate {
  private isOpen = false;
  private held = 0;
  private arrivals = 0;
  private readonly waiting = new Set<() => void>();
  private readonly watchers = new Set<{ readonly count: number; readonly resolve: () => void }>();

  /** How many steps are held at this moment. */
  get heldCount(): number {
    return this.held;
  }

  /** Resolves at once while the gate is open, else when it opens. */
  async pass(): Promise<void> {
    if (this.isOpen) return;
    this.held++;
    this.arrivals++;
    for (const watcher of this.watchers) {
      if (this.arrivals < watcher.count) continue;
      this.watchers.delete(watcher);
      watcher.resolve();
    }
    await new Promise<void>((resolve) => this.waiting.add(resolve));
  }

  /** Resolves once `count` steps in all have been held here since the gate was made, also when they have been let go since. */
  async arrived(count = 1): Promise<void> {
    if (this.arrivals >= count) return;
    await new Promise<void>((resolve) => this.watchers.add({ count, resolve }));
  }

  open(): void {
    this.isOpen = true;
    this.held = 0;
    for (const resolve of this.waiting) resolve();
    this.waiting.clear();
  }

  close(): void {
    this.isOpen = false;
  }
}

/** A gate that lets everyone pass until it is closed. */
export function openGate(): Gate {
  const gate = new Gate();
  gate.open();
  return gate;
}
