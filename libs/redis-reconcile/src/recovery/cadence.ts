/** How often to look, and how long an entry must have been left alone. */
export interface Cadence {
  readonly intervalMs: number;
  readonly minIdleMs: number;
}

interface CadenceOptions {
  readonly leaseMs: number;
  readonly recovery: { readonly intervalMs: number | undefined; readonly minIdleMs: number | undefined };
}

const COVERED_INTERVAL_MS = 60_000;
const COVERED_MIN_IDLE_MS = 30_000;
const SHORTEST_INTERVAL_MS = 5000;

/** Slow while expiry events find orphans, fast when the scan alone does. What a person wrote wins. Pure. */
export function cadenceOf({ leaseMs, recovery }: CadenceOptions, isCovered: boolean): Cadence {
  const interval = isCovered ? COVERED_INTERVAL_MS : Math.max(SHORTEST_INTERVAL_MS, leaseMs / 2);
  const minIdle = isCovered ? Math.max(COVERED_MIN_IDLE_MS, leaseMs) : leaseMs;
  return { intervalMs: recovery.intervalMs ?? interval, minIdleMs: recovery.minIdleMs ?? minIdle };
}
