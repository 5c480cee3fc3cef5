import { describeError } from '@nest-baton/core';
import type { Logger } from '@nestjs/common';
import { byPartition } from '../partitions/by-partition.js';
import { partitionOf } from '../partitions/partition-of.js';
import { poisonOf } from '../producing/handoff-entry.js';
import type { RedisReconcileMetrics } from '../redis-reconcile.metrics.js';
import type { NewPartition } from './new-partition.js';
import type { Kind, Movable, OldPartition } from './old-partition.js';
import type { LayoutChange } from './stored-layout.js';

export interface DrainRoundOptions {
  /** Whoever was being told of a dead letter and has not been heard of for so long is gone. */
  readonly goneMs: number;
  readonly metrics: RedisReconcileMetrics;
  readonly logger: Logger;
}

export interface Drained {
  readonly moved: number;
  readonly movedDeadLetters: number;
  readonly stillOwned: number;
  readonly left: number;
  readonly isDone: boolean;
}

/** One look at everything under the old number, and the moves that it allows. */
export class DrainRound {
  private readonly moved = { handoffs: 0, dead: 0 };
  private stillOwned = 0;
  private left = 0;

  constructor(
    private readonly change: LayoutChange,
    private readonly olds: readonly OldPartition[],
    private readonly news: readonly NewPartition[],
    private readonly options: DrainRoundOptions,
  ) {}

  /** What the server does not do stops nothing but its own partition: it is added to `failures`. */
  async run(failures: unknown[]): Promise<Drained> {
    const before = failures.length;
    const attempt = async (act: () => Promise<void>) => {
      await act().catch((error: unknown) => {
        this.options.logger.warn('moving to the new partitions failed; it is tried again', {
          error: describeError(error),
        });
        failures.push(error);
      });
    };
    for (const old of this.olds) await attempt(() => this.drain(old));
    let guards = 0;
    for (const one of this.news) await attempt(async () => void (guards += await this.lift(one)));
    for (const old of this.olds) await attempt(() => this.vacate(old));
    const isDone = failures.length === before && this.stillOwned + this.left + guards === 0;
    const { stillOwned, left } = this;
    return { moved: this.moved.handoffs, movedDeadLetters: this.moved.dead, stillOwned, left, isDone };
  }

  private async drain(old: OldPartition): Promise<void> {
    const seal = await old.seal();
    // Of the past: whatever we know of this partition is not true any more.
    if (seal === 'over') return;
    if (seal === 'now')
      this.options.logger.warn('an old partition was not sealed any more (a failover?); it is again', {
        partition: old.partition.index,
      });
    for (const kind of ['handoffs', 'dead'] as const) {
      let after: string | undefined;
      do {
        const page = await old.movable(kind, after, this.options.goneMs);
        await this.move(kind, old, page.items, page.fence);
        after = page.next;
      } while (after !== undefined);
    }
  }

  /** Added first, and removed only where that was done: whoever dies in between does it again, and it is known there. */
  private async move(kind: Kind, old: OldPartition, items: readonly Movable[], fence: string): Promise<void> {
    for (const [index, some] of byPartition(items, ({ fields }) => this.targetOf(fields))) {
      const added = await this.news[index]?.arrive(kind, fence, old.partition.index, some);
      if (added === undefined) continue;
      await old.depart(
        kind,
        some.map(({ id }) => id),
      );
      this.moved[kind] += added;
      if (added > 0)
        this.options.metrics.add('repartition.moved', added, kind === 'dead' ? 'dead_letters' : 'handoffs');
    }
  }

  /** What nobody can read is set aside by whoever reads the first one. */
  private targetOf(fields: readonly Buffer[]): number {
    const at = fields.findIndex((field, i) => i % 2 === 0 && field.toString() === 'stream');
    const dataStream = at < 0 ? undefined : fields[at + 1]?.toString();
    return poisonOf(dataStream, 1) === '' && dataStream !== undefined ? partitionOf(dataStream, this.change.to) : 0;
  }

  /** How many stay. The fence is read after the record was gone: it is above all that its owner had. */
  private async lift(one: NewPartition): Promise<number> {
    let stay = 0;
    for await (const guards of one.guards())
      for (const [index, some] of byPartition(guards, ({ oldPartition }) => oldPartition)) {
        const old = this.olds[index];
        const names = some.map(({ dataStream }) => dataStream);
        const areOwned = old === undefined ? [] : await old.areOwned(names);
        const free = names.filter((_, i) => areOwned[i] !== true);
        stay += names.length - free.length;
        if (free.length > 0) await one.lift((await old?.fence()) ?? '0', free);
      }
    return stay;
  }

  private async vacate(old: OldPartition): Promise<void> {
    const { entries, owned, waiting, dead } = await old.vacate();
    this.stillOwned += owned;
    this.left += Math.max(0, entries - owned) + waiting + dead;
  }
}
