import type { Clock } from '@nest-baton/core';

/** How far apart two clocks drift at most in a unit of time: ten times what ordinary ones do. */
const DRIFT = 1e-4;

interface Answer {
  /** Of the monotonic clock here: halfway between question and answer. */
  readonly at: number;
  readonly serverMs: number;
  readonly errorMs: number;
}

/**
 * What the server's clock shows now, as its answers tell: the clock of this machine may be hours away from the one that stamped the chunks.
 *
 * What took `t` to be answered is off by half of `t` at most. The closest answer is kept until a newer one is closer than what its drift has made of it: a
 * server whose clock is set is believed after seconds to a minute.
 */
export class ServerClock {
  private kept: Answer | undefined;

  constructor(private readonly clock: Pick<Clock, 'monotonic'>) {}

  /** The server said `serverMs` (since the epoch) to what was asked at `askedAt` of the monotonic clock. */
  heard(serverMs: number, askedAt: number): void {
    const now = this.clock.monotonic();
    const errorMs = (now - askedAt) / 2;
    if (this.kept !== undefined && errorMs > this.kept.errorMs + (now - this.kept.at) * DRIFT) return;
    if (Number.isFinite(serverMs)) this.kept = { at: askedAt + errorMs, serverMs, errorMs };
  }

  /** Milliseconds since `moment`, at least 0; nothing, as long as the server has not told its time. */
  since(moment: Date): number | undefined {
    if (this.kept === undefined) return undefined;
    const { at, serverMs } = this.kept;
    return Math.max(0, serverMs + this.clock.monotonic() - at - moment.getTime());
  }
}
