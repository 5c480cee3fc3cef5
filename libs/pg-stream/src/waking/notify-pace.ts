import type { Clock } from '@nest-baton/core';

/** So many leave one behind another before any has to wait. */
const BURST = 20;

/**
 * A NOTIFY costs the client, the server and everybody who listens as much as an append of one chunk, this process included. Beyond this rate one names what moved
 * in 2 ms, which no reader notices; below it none ever waits.
 */
const PER_SECOND = 600;

/** How often a process may notify. What it is asked by decides alone: no timer, no I/O. */
export class NotifyPace {
  private left = BURST;
  private at: number;

  constructor(private readonly clock: Pick<Clock, 'monotonic'>) {
    this.at = clock.monotonic();
  }

  /** One has left: milliseconds until the next one may. */
  spend(): number {
    const now = this.clock.monotonic();
    this.left = Math.min(BURST, this.left + ((now - this.at) * PER_SECOND) / 1_000) - 1;
    this.at = now;
    return this.left >= 1 ? 0 : ((1 - this.left) * 1_000) / PER_SECOND;
  }
}
