import type { Partition } from '../partitions/partition.js';
import { partitionOf } from '../partitions/partition-of.js';
import { checkDataStream } from '../producing/handoff-entry.js';
import type { Reconciler } from '../recovery/reconciler.js';
import { HandoffAlreadyClaimedError, RedisUnavailableError } from '../redis-reconcile.errors.js';

/** Names an ownership to others; a `Handoff` and a `StreamExpired` are such. */
export interface HandoffRef {
  readonly dataStream: string;
  /** Only this hand-off of the data stream. */
  readonly handoffId?: string;
  /** Only the owner with this fence. */
  readonly fence?: number;
}

/**
 * Requeues the orphan of a data stream, or gives it up.
 *
 * - The script that acts looks at record, entry and lease again: of many claimers one wins, and an owner that renews keeps its work.
 *
 * @throws HandoffInvalidError; HandoffAlreadyClaimedError; RedisUnavailableError
 */
export async function claimOrphan(
  partitions: readonly Partition[],
  reconciler: Reconciler,
  ref: HandoffRef,
): Promise<'requeued' | 'deadLettered'> {
  const { dataStream } = ref;
  checkDataStream(dataStream);
  const partition = partitions[partitionOf(dataStream, partitions.length)] as Partition;
  const quietMs = reconciler.quietOf(partition);
  if (quietMs > 0)
    throw new RedisUnavailableError(
      `Redis was away until a moment ago, and the owner of data stream '${dataStream}' may hand back by itself: claim again in ${Math.ceil(quietMs)} ms.`,
    );
  const id = await partition.entryOf(ref);
  const what = id === undefined ? 'gone' : await reconciler.claim(partition, { id, dataStream, poison: '' });
  switch (what) {
    case 'requeued':
      return 'requeued';
    case 'buried':
      return 'deadLettered';
    case 'alive':
    case 'fresh':
    case 'gone':
    case 'lost':
      throw new HandoffAlreadyClaimedError(
        what === 'alive'
          ? `Data stream '${dataStream}' has an owner that lives, or is in its back-off.`
          : `Data stream '${dataStream}' has no orphan to claim: its hand-off is queued or finished, or was claimed before.`,
      );
  }
}
