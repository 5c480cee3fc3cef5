import type { Handoff } from '../handling/handoff.js';

/** What `RedisReconcileService.notifications` tells. */
export type HandoffNotification<Info = unknown> =
  /** This process owns it now, until `doneStream` or `release` is called with it. */
  | { readonly type: 'StreamAdded'; readonly handoff: Handoff<Info> }
  /** What was added before is not ours any more, or not for certain; its signal has aborted. Never left out. */
  | { readonly type: 'StreamDisowned'; readonly handoff: Handoff<Info>; readonly reason: string }
  /**
   * The lease of another process ran out, or a back-off. A hint: left out where expiry events do not arrive, or where nobody pulls. Nothing needs to
   * be done about it, and `claim` may be called with it.
   */
  | { readonly type: 'StreamExpired'; readonly dataStream: string }
  /** The last one. Everything that was not settled has been handed back. */
  | { readonly type: 'StreamTerminated'; readonly reason: TerminationReason; readonly error: unknown };

/** `shutdown`: of the application. `read_failures`: more than `maxReadFailures`; `error` is the last one. */
export type TerminationReason = 'shutdown' | 'read_failures';

export interface NotificationOptions {
  /** Hand-offs that are told and neither done nor released, at most. From 1 to 10 000. */
  readonly concurrency: number;
  /**
   * Reads of one partition that may fail in a row, 100 ms to 5 s apart, before the iteration ends. Default: no limit, since an outage passes
   * and a process that has given up does not come back.
   */
  readonly maxReadFailures?: number;
}
