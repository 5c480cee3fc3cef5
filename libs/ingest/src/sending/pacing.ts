import type { Clock } from '@nest-baton/core';

/**
 * When the next attempt of an index may begin. One for all its requests, since a server that asks for a pause asks for all of them.
 *
 * - `open`: attempts wait for their own back-off and for a pause that the server asked for.
 * - `closing`: pauses are ignored; every wait that was running ends once, so that all are tried at once.
 * - `ended`: nothing waits.
 */
export class Pacing {
  private phase: 'open' | 'closing' | 'ended' = 'open';
  private pausedUntilMs = -Infinity;
  private readonly sleepers = new Set<() => void>();

  constructor(private readonly clock: Clock) {}

  get hasEnded(): boolean {
    return this.phase === 'ended';
  }

  /** What is left of a pause; 0 without one, and while closing. */
  get pausedMs(): number {
    return this.phase === 'open' ? Math.max(0, this.pausedUntilMs - this.clock.monotonic()) : 0;
  }

  pause(ms: number): void {
    this.pausedUntilMs = Math.max(this.pausedUntilMs, this.clock.monotonic() + ms);
  }

  /** Waits `ms` at least. */
  async sleep(ms: number): Promise<void> {
    if (this.phase === 'ended') return;
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.sleepers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, Math.ceil(ms));
      this.sleepers.add(wake);
    });
  }

  /** Resolves when no pause holds. */
  async untilUnpaused(): Promise<void> {
    for (let left = this.pausedMs; left > 0; left = this.pausedMs) await this.sleep(left);
  }

  startClosing(): void {
    if (this.phase === 'open') this.phase = 'closing';
    this.wakeAll();
  }

  end(): void {
    this.phase = 'ended';
    this.wakeAll();
  }

  private wakeAll(): void {
    for (const wake of [...this.sleepers]) wake();
  }
}
