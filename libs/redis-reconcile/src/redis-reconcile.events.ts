interface HandoffEvent {
  readonly handoffId: string;
  readonly dataStream: string;
}

interface OwnedEvent extends HandoffEvent {
  readonly attempt: number;
  readonly fence: number;
}

/** What happened, as this process saw it; names and payloads of `RedisReconcileService.on`. */
export interface RedisReconcileEvents {
  /** This process owns it now. */
  acquired: OwnedEvent;
  done: OwnedEvent;
  /** The handler refused it; it comes back after `delayMs`. */
  nacked: OwnedEvent & { readonly delayMs: number; readonly error: string };
  /** Handed back unfinished. `releasedWhileRunning`: its handler had not settled, and may still act under its old fence. */
  released: OwnedEvent & { readonly reason: string; readonly releasedWhileRunning: boolean };
  /** The ownership is gone, or not certain any more. The handler's signal has aborted. */
  lost: OwnedEvent & { readonly reason: string };
  /** The handler resolved, but the work had another owner by then: LEASE_LOST. */
  doneRefused: OwnedEvent;
  /** An orphan was given to somebody else. `attempts`: how many have failed. */
  requeued: HandoffEvent & { readonly attempts: number; readonly cause: 'crash' | 'nack' | 'never_leased' };
  deadLettered: HandoffEvent & { readonly attempts: number; readonly reason: string };
  /** `onDeadLetter` has resolved for it, or threw and is called again later. */
  deadLetterHandled: HandoffEvent & { readonly error: string | undefined };
  /** Whether expiry events arrive; `false`: the scan alone finds orphans. */
  coverageChanged: { readonly isCovered: boolean; readonly reason: string };
  scanned: ReconcileReport;
  /** The last word of a shutdown. */
  stopped: ShutdownReport;
}

export interface ShutdownReport {
  /** Finished by their handlers after shutdown began. */
  readonly finished: number;
  readonly released: number;
  /** Data streams that were handed back while their handlers still ran. */
  readonly releasedWhileRunning: readonly string[];
  /** Could not be handed back, since Redis did not answer: their leases run out, and the crash is counted. */
  readonly abandoned: readonly string[];
}

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
