import { hashPages } from '../partitions/hash-pages.js';
import type { Partition } from '../partitions/partition.js';
import { ARRIVE } from '../scripts/layout/arrive.js';
import { CLOSE } from '../scripts/layout/close.js';
import { GUARD } from '../scripts/layout/guard.js';
import { LIFT } from '../scripts/layout/lift.js';
import { OPEN } from '../scripts/layout/open.js';
import type { Script } from '../scripts/script.js';
import type { Kind, Movable } from './old-partition.js';
import type { LayoutChange } from './stored-layout.js';

/** A data stream that has its owner in an old partition. */
export interface Guard {
  readonly dataStream: string;
  readonly oldPartition: number;
}

/** A partition under the number that is to count: closed at first, open once all that has an owner elsewhere is guarded. */
export class NewPartition {
  constructor(
    readonly partition: Partition,
    private readonly change: LayoutChange,
  ) {}

  async close(): Promise<void> {
    const { epoch, to } = this.change;
    await this.run(CLOSE, [this.partition.keys.layout], ['closed', epoch, to]);
  }

  /** Does nothing where it is open already: then all guards are there. */
  async guard(dataStreams: readonly string[], oldPartition: number): Promise<void> {
    const { layout, guards } = this.partition.keys;
    const pairs = dataStreams.flatMap((dataStream) => [dataStream, oldPartition]);
    await this.run(GUARD, [layout, guards], [this.change.epoch, ...pairs]);
  }

  async open(fence: string): Promise<void> {
    await this.run(OPEN, [this.partition.keys.layout], [this.change.epoch, fence]);
  }

  /** How many were added; `undefined` when it does not take part in this change any more. */
  async arrive(
    kind: Kind,
    fence: string,
    oldPartition: number,
    items: readonly Movable[],
  ): Promise<number | undefined> {
    const { layout, arrived } = this.partition.keys;
    const args = items.flatMap(({ id, fields }) => [`${kind}:${oldPartition}:${id}`, fields.length, ...fields]);
    const added = (await this.run(ARRIVE, [layout, arrived], [this.change.epoch, fence, kind, ...args])) as number;
    return added < 0 ? undefined : added;
  }

  async *guards(): AsyncGenerator<readonly Guard[]> {
    const { keys, link } = this.partition;
    for await (const pairs of hashPages(link, keys.guards))
      yield pairs.map(([dataStream, oldPartition]) => ({ dataStream, oldPartition: Number(oldPartition) }));
  }

  async lift(fence: string, dataStreams: readonly string[]): Promise<void> {
    const { keys } = this.partition;
    const lists = dataStreams.map((dataStream) => keys.waiting(dataStream));
    await this.run(LIFT, [keys.layout, keys.guards, ...lists], [this.change.epoch, fence, ...dataStreams]);
  }

  private run(script: Script, keys: readonly string[], args: readonly (string | number | Buffer)[]) {
    return this.partition.link.script(script, [...this.partition.keys.fixed, ...keys], args);
  }
}
