import type { Clock } from '@nest-baton/core';

/** Endpoints remembered, as each claim sends them along; the least recently claimed leaves first, which costs a longer look and nothing else. */
const MAX_KEPT = 500;

/** What a producer's transaction may take without being found later. */
const MARGIN_US = 2_000_000;

const FULL_LOOK_INTERVAL_MS = 10_000;

export interface DueClaim {
  readonly endpointId: string;
  /** Microseconds since 1970, by the database's clock. */
  readonly dueAtUs: number;
}

/**
 * From when on a claim looks for due deliveries of an endpoint. What was due before has been claimed, but its entries stay in the index as long
 * as an old snapshot is open, and each claim would walk over them again.
 *
 * A hint for speed and no more: what came in behind a bound (of a producer's transaction that took long, of a claim that was rolled back) is
 * found by the full look, each 10 s, and counted.
 */
export class DueBounds {
  private readonly lastDue = new Map<string, number>();
  private fullAt = -Infinity;

  constructor(private readonly clock: Clock) {}

  /** The bounds of this look; none when it is to be a full one. */
  next(): ReadonlyMap<string, number> {
    const known = this.known();
    if (known !== undefined) return known;
    this.fullAt = this.clock.monotonic();
    return new Map();
  }

  /** Those of the next look, microseconds since 1970 by the database's clock; undefined when it is to be a full one. */
  known(): ReadonlyMap<string, number> | undefined {
    if (this.clock.monotonic() - this.fullAt >= FULL_LOOK_INTERVAL_MS) return undefined;
    return new Map([...this.lastDue].map(([id, dueAtUs]) => [id, dueAtUs - MARGIN_US]));
  }

  /** Takes note of claims in their order; returns how many of them only a full look could find. */
  note(claims: readonly DueClaim[]): number {
    let behind = 0;
    for (const { endpointId, dueAtUs } of claims) {
      const last = this.lastDue.get(endpointId) ?? -Infinity;
      if (dueAtUs < last - MARGIN_US) behind++;
      this.lastDue.delete(endpointId);
      this.lastDue.set(endpointId, Math.max(last, dueAtUs));
      const oldest = this.lastDue.keys().next();
      if (this.lastDue.size > MAX_KEPT && oldest.done !== true) this.lastDue.delete(oldest.value);
    }
    return behind;
  }
}

/** A CTE `bound` of `endpoint_id` and `at`. @param ids, us parameters: the keys and the values of such bounds. */
export function boundsIn(ids: string, us: string): string {
  return `bound AS (SELECT b.endpoint_id, to_timestamp(b.us / 1000000) AS at FROM unnest(${ids}::uuid[], ${us}::float8[]) AS b(endpoint_id, us))`;
}
