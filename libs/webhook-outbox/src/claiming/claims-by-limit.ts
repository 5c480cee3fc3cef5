import type { ClaimedDelivery, ClaimRequest, Claims, ClaimStore, SlotsTaken } from './claim-store.js';

/** Claims for the endpoints that have a limit which all processes share. */
export interface LimitedLooks extends Claims {
  /** Until tokens come for something that is due, by the last look. */
  readonly tokenInMs: number | undefined;
}

/**
 * Claims by two statements: one for the many endpoints without such a limit, which is not burdened by it, and one for the others, which is left out where
 * there are none. Each goes first every other time, so that neither takes all the room.
 */
export class ClaimsByLimit implements Claims {
  tokenInMs: number | undefined;
  private isLimitedsTurn = false;

  constructor(
    private readonly unlimited: ClaimStore,
    private readonly limited: LimitedLooks,
  ) {}

  async claim(request: ClaimRequest): Promise<readonly ClaimedDelivery[]> {
    const { unlimited } = this;
    const claimed: ClaimedDelivery[] = [];
    const claim = async (from: Claims): Promise<void> => {
      const limit = request.limit - claimed.length;
      if (limit > 0) claimed.push(...(await from.claim({ ...request, limit })));
    };
    this.tokenInMs = undefined;
    this.isLimitedsTurn = !this.isLimitedsTurn && unlimited.hasLimited;
    const isFirst = this.isLimitedsTurn;
    if (isFirst) await this.claimLimited(claim);
    await claim(unlimited);
    if (!isFirst && unlimited.hasLimited) await this.claimLimited(claim);
    return claimed;
  }

  async claimSuspect(slots: SlotsTaken): Promise<ClaimedDelivery | undefined> {
    const suspect = await this.unlimited.claimSuspect(slots);
    if (suspect !== undefined || !this.unlimited.hasLimited) return suspect;
    return this.limited.claimSuspect(slots);
  }

  async claimProbes(request: ClaimRequest): Promise<readonly ClaimedDelivery[]> {
    const probes = await this.unlimited.claimProbes(request);
    const limit = request.limit - probes.length;
    if (limit <= 0 || !this.unlimited.hasLimited) return probes;
    return [...probes, ...(await this.limited.claimProbes({ ...request, limit }))];
  }

  private async claimLimited(claim: (from: Claims) => Promise<void>): Promise<void> {
    await claim(this.limited);
    this.tokenInMs = this.limited.tokenInMs;
  }
}
