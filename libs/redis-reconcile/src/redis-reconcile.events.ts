import type { RepartitionReport } from './repartitioning/repartition-report.js';
import type { TopologyReport } from './topology/topology-report.js';

interface HandoffEvent {
  readonly handoffId: string;
  readonly dataStream: string;
}

interface OwnedEvent extends HandoffEvent {
  readonly attempt: number;
  readonly fence: number;
}

/** What `RedisReconcileService.on` tells of, as this process sees it. */
export interface RedisReconcileEvents {
  /** This process owns it now. */
  readonly acquired: OwnedEvent;
  /** Its end: the handler resolved, or `doneStream` was called, while this process owned it. */
  readonly done: OwnedEvent;
  /** The handler refused it; it comes back after `delayMs`. */
  readonly nacked: OwnedEvent & { readonly delayMs: number; readonly error: string };
  /** Handed back unfinished. `releasedWhileRunning`: its handler had not settled, and may still act under its old fence. */
  readonly released: OwnedEvent & { readonly reason: string; readonly releasedWhileRunning: boolean };
  /** Shutdown acknowledged it although it was unfinished, as `ack-unfinished` asks: its end. */
  readonly abandoned: OwnedEvent;
  /** The ownership is gone, or not certain any more. The handler's signal has aborted. */
  readonly lost: OwnedEvent & { readonly reason: string };
  /** The handler resolved, but the work had another owner by then: LEASE_LOST. */
  readonly doneRefused: OwnedEvent;
  /** An orphan was given to somebody else. `attempts`: how many have failed. */
  readonly requeued: HandoffEvent & { readonly attempts: number; readonly cause: 'crash' | 'nack' | 'never_leased' };
  /** Given up by this process: its end. */
  readonly deadLettered: HandoffEvent & { readonly attempts: number; readonly reason: string };
  /** `onDeadLetter` has resolved for it, or threw and is called again later. */
  readonly deadLetterHandled: HandoffEvent & { readonly error: string | undefined };
  /** A dead letter was handed off again, by this process: a first attempt once more. */
  readonly redriven: HandoffEvent;
  /** A dead letter was forgotten, by this process. */
  readonly purged: HandoffEvent;
  /** Whether expiry events arrive; `false`: the scan alone finds orphans. */
  readonly coverageChanged: { readonly isCovered: boolean; readonly reason: string };
  /** The masters of the cluster, or who serves what, are others than before, and this process has followed; or it was told to look. */
  readonly topologyChanged: TopologyReport;
  /** Nothing is left under the old number of partitions: this process took the last step. */
  readonly repartitioned: RepartitionReport;
  /** A look at the pending entries has ended. */
  readonly scanned: ReconcileReport;
  /** The work of this process has ended, with the application or with its iterator: what became of what it owned. */
  readonly stopped: ShutdownReport;
}

export interface ShutdownReport {
  /** Finished by their handlers after shutdown began. */
  readonly finished: number;
  readonly released: number;
  /** Data streams that were handed back while their handlers still ran. */
  readonly releasedWhileRunning: readonly string[];
  /**
   * Neither finished nor handed back. With `shutdown: 'ack-unfinished'` acknowledged as if done; else since Redis did not answer: their leases run
   * out, and the crash is counted.
   */
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
