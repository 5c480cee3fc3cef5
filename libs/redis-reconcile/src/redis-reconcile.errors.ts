import { BatonError, type Duration } from '@nest-baton/core';

/** Thrown by a handler: hand the work back with a back-off of its own choice. Counts as an attempt, as any other throw does. */
export class NackError extends BatonError {
  override readonly code = 'NACK';
  /** At most 30 days: longer ones are cut. Without it, or when it is no duration, the `nackBackoff` decides. */
  readonly delay: Duration | undefined;

  constructor(options: { readonly delay?: Duration; readonly message?: string; readonly cause?: unknown } = {}) {
    super(options.message ?? 'The handler refused the hand-off for now.', { cause: options.cause, retryable: true });
    this.delay = options.delay;
  }
}

/** A data stream name or an info that cannot be handed off. Nothing was written. */
export class HandoffInvalidError extends BatonError {
  override readonly code = 'HANDOFF_INVALID';
}

/** This process holds no lease on the data stream. */
export class HandoffNotOwnedError extends BatonError {
  override readonly code = 'HANDOFF_NOT_OWNED';
}

/** The hand-off was added and stays, but fewer replicas than asked for have said that they have it. */
export class HandoffUnconfirmedError extends BatonError {
  override readonly code = 'HANDOFF_UNCONFIRMED';

  constructor(
    readonly handoffId: string,
    dataStream: string,
    /** How many have it for certain. */
    readonly replicas: number,
    wanted: number,
  ) {
    super(
      `Hand-off '${handoffId}' of data stream '${dataStream}' was added, but ${replicas} of ${wanted} replicas have confirmed it: it may be lost in a failover. Call again with the same dedupeId, or go on without.`,
      { retryable: true },
    );
  }
}

/** There is nothing to claim: the owner lives, the hand-off is queued or finished, or somebody was faster. Nothing was written. */
export class HandoffAlreadyClaimedError extends BatonError {
  override readonly code = 'HANDOFF_ALREADY_CLAIMED';
}

/** No dead letter has this id: it was redriven or purged, or never given up. Nothing was written. */
export class DeadLetterNotFoundError extends BatonError {
  override readonly code = 'DEAD_LETTER_NOT_FOUND';
}

/** This process takes work of the instance in another way already: by a handler, or by an iterator that has not ended. */
export class NotificationsTakenError extends BatonError {
  override readonly code = 'NOTIFICATIONS_TAKEN';
}

/** No consumer id: set `consumerId`, or `POD_NAME` or `POD_IP` where options are read from the environment. */
export class ConsumerIdMissingError extends BatonError {
  override readonly code = 'CONSUMER_ID_MISSING';
}

/** The instance has another number of partitions than this process: it was first started with it, or was repartitioned since. Nothing was written. */
export class PartitionsMismatchError extends BatonError {
  override readonly code = 'PARTITIONS_MISMATCH';
}

/** The number of partitions is on its way to another one than asked for: nothing was changed. The same call may succeed when that has come to its end. */
export class RepartitionInProgressError extends BatonError {
  override readonly code = 'REPARTITION_IN_PROGRESS';

  constructor(message: string, options: { readonly cause?: unknown } = {}) {
    super(message, { ...options, retryable: true });
  }
}

/** A key of this service holds something of another type: somebody else writes under its name. Nothing heals that but you; see the keys in the README. */
export class KeyTypeConflictError extends BatonError {
  override readonly code = 'KEY_TYPE_CONFLICT';
}

/** The server is a cluster's and `topology` is `single`, or the other way round. */
export class TopologyMismatchError extends BatonError {
  override readonly code = 'TOPOLOGY_MISMATCH';
}

/** The nodes of the cluster do not agree about it: it is about to change. Nothing was done; the same call may succeed in a moment. */
export class ClusterNotSettledError extends BatonError {
  override readonly code = 'CLUSTER_NOT_SETTLED';

  constructor(message: string, options: { readonly cause?: unknown } = {}) {
    super(message, { ...options, retryable: true });
  }
}

/** Redis did not answer in time, or cannot take commands now. Whether the command was executed is not known; the same call may succeed later. */
export class RedisUnavailableError extends BatonError {
  override readonly code = 'REDIS_UNAVAILABLE';

  constructor(message: string, options: { readonly cause?: unknown } = {}) {
    super(message, { ...options, retryable: true });
  }
}
