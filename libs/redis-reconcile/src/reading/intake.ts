import { setTimeout as sleep } from 'node:timers/promises';
import { type Clock, describeError, errorCode, randomToken } from '@nest-baton/core';
import type { Logger } from '@nestjs/common';
import type { HandoffRunner } from '../handling/handoff-runner.js';
import type { LeaseKeeper } from '../handling/lease-keeper.js';
import { OwnedHandoff } from '../handling/owned-handoff.js';
import { describe } from '../handling/settlement.js';
import type { TypedEvents } from '@nest-baton/core';
import type { Acquired, Partition } from '../partitions/partition.js';
import { partitionOf } from '../partitions/partition-of.js';
import { decodeEntry, type HandoffEntry } from '../producing/handoff-entry.js';
import { type Reconciler, WRONG_PARTITION } from '../recovery/reconciler.js';
import type { RedisReconcileEvents } from '../redis-reconcile.events.js';
import type { Candidate } from '../scripts/recovery/reconcile.js';
import type { RawEntry } from './blocking-reader.js';
import type { Capacity } from './capacity.js';

const ACQUIRE_ATTEMPTS = 5;
const ACQUIRE_RETRY_MS = 100;
/** 103 bits for each read, numbered within it: unique for each acquisition, so that no owner of the past can act as this one. */
const TOKEN_LENGTH = 20;

export interface IntakeOptions {
  readonly partitionCount: number;
  readonly consumer: string;
  readonly leaseMs: number;
  readonly capacity: Capacity;
  readonly keeper: LeaseKeeper;
  readonly runner: HandoffRunner;
  readonly reconciler: Reconciler;
  readonly events: TypedEvents<RedisReconcileEvents>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Turns entries that were read into hand-offs that are owned.
 *
 * - Nothing runs without a lease. What cannot be leased in a few attempts stays pending; a scan gives it to somebody else, uncounted.
 * - An entry that nobody can own goes to the dead letters at once and never stops the reader.
 */
export class Intake {
  private isStopping = false;

  constructor(private readonly options: IntakeOptions) {}

  /** From now on entries are left unleased, to be handed back. */
  stop(): void {
    this.isStopping = true;
  }

  /** Owns a slot of the capacity for each entry; each goes on to a hand-off or is given back. */
  async take(partition: Partition, raw: readonly RawEntry[]): Promise<void> {
    const { capacity } = this.options;
    const entries: HandoffEntry[] = [];
    const poison: Candidate[] = [];
    for (const [id, fields] of raw) {
      const decoded = decodeEntry(id, fields);
      if (decoded.kind === 'poison') poison.push({ id, dataStream: '', poison: decoded.reason });
      else if (partitionOf(decoded.entry.dataStream, this.options.partitionCount) !== partition.index)
        poison.push({ id, dataStream: decoded.entry.dataStream, poison: WRONG_PARTITION });
      else entries.push(decoded.entry);
    }
    let started = 0;
    try {
      if (!this.isStopping && entries.length > 0) started = await this.acquire(partition, entries);
    } finally {
      capacity.release(raw.length - started);
    }
    if (poison.length > 0) await this.bury(partition, poison);
  }

  private async acquire(partition: Partition, entries: readonly HandoffEntry[]): Promise<number> {
    const secret = randomToken(TOKEN_LENGTH);
    const claims = entries.map((entry, i) => ({
      entry,
      id: entry.id,
      dataStream: entry.dataStream,
      token: `${secret}.${i}`,
    }));
    const acquired = await this.acquireWithRetries(partition, claims);
    let started = 0;
    claims.forEach(({ entry, token }, i) => {
      const outcome = acquired.outcomes[i];
      if (outcome?.outcome === 'failed')
        this.options.logger.warn('a hand-off could not be leased; a scan gives it to somebody else', {
          dataStream: entry.dataStream,
          error: describeError(outcome.error),
        });
      if (outcome?.outcome !== 'granted') return;
      started++;
      this.begin(partition, entry, token, outcome.fence, acquired.sentAt);
    });
    return started;
  }

  /** The same tokens every time: the server knows an acquisition whose answer was lost. */
  private async acquireWithRetries(
    partition: Partition,
    claims: readonly { readonly id: string; readonly dataStream: string; readonly token: string }[],
  ): Promise<{ readonly sentAt: number; readonly outcomes: readonly Acquired[] }> {
    const { clock, consumer, leaseMs } = this.options;
    for (let attempt = 1; ; attempt++) {
      const sentAt = clock.monotonic();
      try {
        return { sentAt, outcomes: await partition.acquire(consumer, leaseMs, claims) };
      } catch (error) {
        const isOver = attempt === ACQUIRE_ATTEMPTS || errorCode(error) === 'PARTITIONS_MISMATCH';
        if (isOver || this.isStopping) throw error;
        await sleep(ACQUIRE_RETRY_MS * attempt);
      }
    }
  }

  private begin(partition: Partition, entry: HandoffEntry, token: string, fence: number, sentAt: number): void {
    const { consumer, leaseMs, clock, keeper, runner, events } = this.options;
    const handoff = new OwnedHandoff({
      partition,
      entry,
      token,
      fence,
      consumer,
      deadline: sentAt + leaseMs,
      clock,
      onLapse: (lost, reason) => events.emit('lost', { ...describe(lost), reason }),
    });
    keeper.add(handoff);
    runner.run(handoff);
  }

  private async bury(partition: Partition, poison: readonly Candidate[]): Promise<void> {
    const { reconciler, logger } = this.options;
    logger.warn('entries that cannot be read go to the dead letters', {
      partition: partition.index,
      entries: poison.map(({ id, poison: reason }) => `${id}: ${reason}`),
    });
    try {
      await reconciler.bury(partition, poison);
    } catch (error) {
      logger.warn('setting unreadable entries aside failed; a scan will', { error: describeError(error) });
    }
  }
}
