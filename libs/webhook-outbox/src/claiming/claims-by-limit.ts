import type { ClaimedDelivery, ClaimRequest, Claims, ClaimStore, SlotsTaken } from './claim-store.js';

/** Claims for the endpoints that have a limit which all processes share. */
export interface LimitedLooks extends Claims {
  /** Until tokens come for something that is due, by the last look. */
  readonly tokenInMs: number | undefined;
  readonly isSlotAwaited: boolean;
}

/**
 * Claims by two statements: one for the many endpoints without such a limit, which is not burdened by it, and one for the others, which is left out where
 * there are none. Each goes first every other time, so that neither takes all the room.
 */
export class ClaimsByLimit implements Claims {
  tokenInMs: number | undefined;
  isSlotAwaited = false;
  private isLimitedsTurn = false;

  constructor(
    private readonly unlimited: ClaimStore,
    private readonly limited: LimitedLooks,
  ) {}

  async claim(request: ClaimRequest): Promise<readonly ClaimedDelivery[]> {
    const { unlimited } = this;
    this.tokenInMs = undefined;
    this.isLimitedsTurn = !this.isLimitedsTurn && unlimited.hasLimited;
    if (this.isLimitedsTurn) {
      const first = await this.claimLimited(request);
      return [...first, ...(await claimRest(unlimited, request, first.length))];
    }
    const first = await unlimited.claim(request);
    if (!unlimited.hasLimited) {
      this.isSlotAwaited = false;
      return first;
    }
    const limit = request.limit - first.length;
    return limit <= 0 ? first : [...first, ...(await this.claimLimited({ ...request, limit }))];
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

  dueBounds(): ReadonlyMap<string, number> | undefined {
    const bounds = this.unlimited.dueBounds();
    if (bounds === undefined || !this.unlimited.hasLimited) return bounds;
    const limited = this.limited.dueBounds?.();
    return limited === undefined ? undefined : new Map([...bounds, ...limited]);
  }

  /** An outcome that is written while the look is on its way may have come too late for it. */
  private async claimLimited(request: ClaimRequest): Promise<readonly ClaimedDelivery[]> {
    this.isSlotAwaited = true;
    const claims = await this.limited.claim(request);
    this.isSlotAwaited = this.limited.isSlotAwaited;
    this.tokenInMs = this.limited.tokenInMs;
    return claims;
  }
}

async function claimRest(from: Claims, request: ClaimRequest, taken: number): Promise<readonly ClaimedDelivery[]> {
  const limit = request.limit - taken;
  return limit <= 0 ? [] : from.claim({ ...request, limit });
}
