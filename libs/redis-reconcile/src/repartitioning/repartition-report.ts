/** What became of a change of the number of partitions, as far as one call has brought it. */
export interface RepartitionReport {
  readonly from: number;
  readonly to: number;
  /** Hand-offs that this call moved to the new partitions. */
  readonly moved: number;
  /** Dead letters that it moved. */
  readonly movedDeadLetters: number;
  /** Data streams that have an owner in an old partition, or are in a back-off there: they move, or end, when that one is through. */
  readonly stillOwned: number;
  /** Whatever else is in the old partitions: what waits for the owned, what came while we moved, dead letters that are being told. */
  readonly left: number;
  /** Nothing is left under the old number. */
  readonly isDone: boolean;
}
