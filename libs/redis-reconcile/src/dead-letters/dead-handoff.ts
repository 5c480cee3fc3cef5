import { LeaseLostError } from '@nest-baton/core';
import type { Handoff } from '../handling/handoff.js';
import type { Partition } from '../partitions/partition.js';
import { HandoffInvalidError } from '../redis-reconcile.errors.js';
import type { DeadLetter } from './dead-letter.js';

/** A hand-off that was given up, as `onDeadLetter` sees it. It has no lease; its fence is above that of every owner. */
export class DeadHandoff implements Handoff {
  readonly handoffId: string;
  readonly dataStream: string;
  readonly info: unknown;
  readonly attempt: number;
  private currentFence: number;

  constructor(
    letter: DeadLetter,
    private readonly telling: {
      readonly partition: Partition;
      readonly consumer: string;
      readonly signal: AbortSignal;
    },
  ) {
    this.handoffId = letter.handoffId;
    this.dataStream = letter.dataStream;
    this.info = letter.info;
    this.attempt = letter.attempts;
    this.currentFence = letter.fence;
  }

  get fence(): number {
    return this.currentFence;
  }

  get consumer(): string {
    return this.telling.consumer;
  }

  get signal(): AbortSignal {
    return this.telling.signal;
  }

  assertOwned(): void {
    if (this.telling.signal.aborted)
      throw new LeaseLostError(
        `The dead letter of data stream '${this.dataStream}' is told to somebody else: this process is shutting down.`,
      );
  }

  async raiseFence(seen: number): Promise<void> {
    if (!Number.isSafeInteger(seen) || seen >= Number.MAX_SAFE_INTEGER)
      throw new HandoffInvalidError(`A fence must be a whole number below 2^53 - 1, not ${seen}.`);
    const raised = await this.telling.partition.raiseFence(this.dataStream, '', seen, this.currentFence);
    this.currentFence = Math.max(this.currentFence, raised ?? 0);
  }
}
