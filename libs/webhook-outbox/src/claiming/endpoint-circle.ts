import { type Clock, systemClock } from '@nest-baton/core';
import { LOWEST_ID } from '../endpoints/endpoint-store.js';
import { DueBounds } from './due-bounds.js';
import { reachedLast } from './reached-last.js';

/** Endpoints that one statement looks at. */
export const SLICE = 1_000;

export interface Found {
  readonly endpointId: string;
  /** Microseconds since 1970, by the database's clock. */
  readonly dueAtUs: string;
}

export interface CircleLook<Claim extends Found> {
  readonly claims: readonly Claim[];
  /** Endpoints that were looked at. */
  readonly seen: number;
  /** The last of them; `null` without any. */
  readonly edge: string | null;
}

/** One statement. @param after the endpoint behind which it begins. */
export type LookAtSlice<Claim extends Found> = (
  limit: number,
  after: string,
  bounds: ReadonlyMap<string, number>,
) => Promise<CircleLook<Claim>>;

/** The circle of endpoints, by their ids: where the next walk round it begins, and from when on it looks for what is due. */
export class EndpointCircle {
  private readonly bounds: DueBounds;
  /** It goes on behind this one. */
  private after = LOWEST_ID;

  /** @param onFoundLate how many only a full look could find. */
  constructor(
    private readonly onFoundLate: (count: number) => void = () => undefined,
    clock: Clock = systemClock,
  ) {
    this.bounds = new DueBounds(clock);
  }

  /** As of `Claims.dueBounds`. */
  dueBounds(): ReadonlyMap<string, number> | undefined {
    return this.bounds.known();
  }

  /** Goes round in slices, from where the last walk ended, until it has enough or has been everywhere. */
  async walk<Claim extends Found>(most: number, lookAt: LookAtSlice<Claim>): Promise<readonly Claim[]> {
    const bounds = this.bounds.next();
    const begin = this.after;
    const claimed: Claim[] = [];
    for (let isRound = false; ;) {
      const limit = most - claimed.length;
      const { claims, seen, edge } = await lookAt(limit, this.after, bounds);
      claimed.push(...claims);
      this.note(claims);
      if (claims.length > 0 && claims.length >= limit) {
        this.after = reachedLast(claims, this.after);
        return claimed;
      }
      const last = edge ?? LOWEST_ID;
      isRound ||= last <= this.after;
      this.after = last;
      if (seen < SLICE || (isRound && last >= begin)) return claimed;
    }
  }

  private note(claims: readonly Found[]): void {
    const behind = this.bounds.note(
      claims.map(({ endpointId, dueAtUs }) => ({ endpointId, dueAtUs: Number(dueAtUs) })),
    );
    if (behind > 0) this.onFoundLate(behind);
  }
}
