import type { Clock } from '@nest-baton/core';
import type { AdaptiveConcurrency } from './adaptive-concurrency.js';
import type { Circuit } from './circuit.js';

/** `probe`: the circuit is open, and this attempt is the one that finds out. `ended`: nothing is tried any more. */
export type Turn = 'go' | 'probe' | 'ended';

/**
 * When the next attempt of an index may begin. One for all its requests, since a server that asks for a pause, or does not want our requests,
 * means all of them.
 *
 * - `open`: attempts wait for their own back-off, for a pause that the server asked for, for the circuit, and, with `auto`, for one of the
 *   requests that may run at a time.
 * - `closing`: pauses and the circuit are ignored; every wait that was running ends once, so that all are tried at once.
 * - `ended`: nothing waits.
 */
export class Pacing {
  /** Attempts that run and count against the limit. */
  inFlight = 0;
  private phase: 'open' | 'closing' | 'ended' = 'open';
  private pausedUntilMs = -Infinity;
  /** Their own time; nothing but closing cuts it short. */
  private readonly sleepers = new Set<() => void>();
  /** For whatever lets an attempt begin; they look again whenever something may have changed. */
  private readonly waiters = new Set<() => void>();

  constructor(
    private readonly clock: Clock,
    private readonly concurrency: AdaptiveConcurrency,
    private readonly circuit: Circuit,
  ) {}

  get hasEnded(): boolean {
    return this.phase === 'ended';
  }

  get isClosing(): boolean {
    return this.phase !== 'open';
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
    if (this.phase !== 'ended') await this.wait(this.sleepers, ms);
  }

  /**
   * Waits until an attempt may begin. Whoever is let go calls `end` afterwards, whatever happens.
   *
   * @param isBounded counts against the limit of requests at a time.
   */
  async begin(isBounded: boolean): Promise<Turn> {
    for (;;) {
      if (this.phase === 'ended') return 'ended';
      const waitMs = this.waitMs(isBounded);
      if (waitMs === 0) break;
      await this.wait(this.waiters, waitMs);
    }
    if (isBounded) this.inFlight++;
    return this.circuit.isOpen && this.phase === 'open' ? 'probe' : 'go';
  }

  end(isBounded: boolean): void {
    if (isBounded) this.inFlight--;
    this.lookAgain();
  }

  startClosing(): void {
    if (this.phase === 'open') this.phase = 'closing';
    this.wakeAll();
  }

  /** Ends all waits. */
  stop(): void {
    this.phase = 'ended';
    this.wakeAll();
  }

  /** Asked in this order: who is told 0 by an open circuit has to try. */
  private waitMs(isBounded: boolean): number {
    if (isBounded && this.inFlight >= this.concurrency.limit) return Infinity;
    if (this.phase === 'closing') return 0;
    return this.pausedMs || this.circuit.mayTry();
  }

  /** @param ms Infinity: until woken. */
  private wait(waits: Set<() => void>, ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        waits.delete(wake);
        resolve();
      };
      const timer = ms === Infinity ? undefined : setTimeout(wake, Math.ceil(ms));
      waits.add(wake);
    });
  }

  private lookAgain(): void {
    for (const wake of [...this.waiters]) wake();
  }

  private wakeAll(): void {
    for (const wake of [...this.sleepers]) wake();
    this.lookAgain();
  }
}
