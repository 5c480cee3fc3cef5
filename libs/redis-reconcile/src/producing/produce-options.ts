export interface ProduceOptions {
  /** Given to the owner; anything `JSON.stringify` can write. */
  readonly info?: unknown;
  /** A second `produce` with it inside the dedupe window (10 min) adds nothing and returns the first one's id. */
  readonly dedupeId?: string;
  /**
   * Replicas that must have it before `produce` resolves, over a connection of its own; waited for no longer than `commandTimeout`. Default 0: the
   * master alone. At most 100. It makes a loss in a failover less likely, not impossible.
   */
  readonly waitReplicas?: number;
}
