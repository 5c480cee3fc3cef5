/** What one pass over the pending entries did. */
export interface ReconcileReport {
  readonly scanned: number;
  readonly skippedAlive: number;
  readonly requeued: number;
  readonly deadLettered: number;
  /** Entries that were gone, or that another scanner took first. */
  readonly lostRace: number;
  readonly durationMs: number;
}

/** One look at the instance, over all partitions. */
export interface HandoffStats {
  /** Entries not read by anybody yet. */
  readonly queued: number;
  /** Entries that somebody read and did not finish. */
  readonly pending: number;
  /** Hand-offs that wait for another one of the same data stream. */
  readonly waiting: number;
  /** Hand-offs in their back-off after a nack; also counted in `pending`. */
  readonly held: number;
  readonly dead: number;
  /** Owned by this process. */
  readonly owned: number;
  /** Age of the oldest entry in the stream, in milliseconds; 0 when there is none. */
  readonly lagMs: number;
}
