/** One piece of work that this process owns now, under a fenced lease. */
export interface Handoff<Info = unknown> {
  /** Stable through requeue, dead letter and redrive. */
  readonly handoffId: string;
  /** The unit of work that it names. */
  readonly dataStream: string;
  readonly info: Info;
  /** From 1; grows when an owner crashed or refused, not when it handed back. */
  readonly attempt: number;
  /** Grows with each ownership of this data stream; give it to every write, so that the resource can refuse an owner of the past. */
  readonly fence: number;
  /** Unique for this process incarnation. */
  readonly consumer: string;
  /** Aborts when ownership is lost, or is to be handed back for shutdown. */
  readonly signal: AbortSignal;
  /** Synchronous. @throws LeaseLostError when the lease is not certain any more by this process' own monotonic clock. */
  assertOwned(): void;
  /**
   * The resource has seen a higher fence (after a failover to a node whose clock was behind): raises ours above it, in Redis and here.
   *
   * @throws LeaseLostError when the data stream has another owner by now.
   */
  raiseFence(seen: number): Promise<void>;
}
