import { hashPages } from '../partitions/hash-pages.js';
import type { Partition } from '../partitions/partition.js';
import { CLOSE } from '../scripts/layout/close.js';
import { DEPART } from '../scripts/layout/depart.js';
import { MOVABLE } from '../scripts/layout/movable.js';
import { VACATE } from '../scripts/layout/vacate.js';
import type { LayoutChange } from './stored-layout.js';

/** Entries in one script, and about how many bytes of them: bounds its time, and our memory. */
const PAGE = 50;
const PAGE_BYTES = 1_000_000;

export type Kind = 'handoffs' | 'dead';

/** An entry as the server gave it: bytes, since fields of other people's need not be text. */
export interface Movable {
  readonly id: string;
  readonly fields: readonly Buffer[];
}

export interface MovablePage {
  readonly items: readonly Movable[];
  /** As high as all that were handed out here. */
  readonly fence: string;
  /** Owned, in a back-off, or being told. */
  readonly stay: number;
  /** `undefined` at the end. */
  readonly next: string | undefined;
}

/** What is left in an old partition. */
export interface Left {
  readonly entries: number;
  readonly owned: number;
  readonly waiting: number;
  readonly dead: number;
}

/** A partition under the number that does not count any more: it is sealed, gives away what nobody owns, and ends empty. */
export class OldPartition {
  constructor(
    readonly partition: Partition,
    private readonly change: LayoutChange,
  ) {}

  /** `over`: there was another change since. */
  async seal(): Promise<'now' | 'before' | 'over'> {
    const { epoch, to } = this.change;
    const answer = await this.run(CLOSE, [this.partition.keys.layout], ['sealed', epoch, to]);
    return answer === 1 ? 'now' : answer === 2 ? 'before' : 'over';
  }

  /** Every data stream that has an owner when this begins and when it ends; once sealed, none is added. */
  async *ownedNames(): AsyncGenerator<readonly string[]> {
    const { keys, link } = this.partition;
    for await (const pairs of hashPages(link, keys.owned)) yield pairs.map(([name]) => name);
  }

  async areOwned(dataStreams: readonly string[]): Promise<boolean[]> {
    const { keys, link } = this.partition;
    const records = await link.call((redis) => redis.hmget(keys.owned, ...dataStreams));
    return records.map((record) => record !== null);
  }

  async fence(): Promise<string> {
    return (await this.partition.link.call((redis) => redis.get(this.partition.keys.fence))) ?? '0';
  }

  async movable(kind: Kind, after: string | undefined, goneMs: number): Promise<MovablePage> {
    const args = [kind, after ?? '-', PAGE, PAGE_BYTES, goneMs];
    const { keys, link } = this.partition;
    const answer = (await link.script(MOVABLE, keys.fixed, args, { isBinary: true })) as [
      Buffer,
      Buffer,
      number,
      ...[Buffer, Buffer[]][],
    ];
    const [next, fence, stay, ...entries] = answer;
    const items = entries.map(([id, fields]) => ({ id: id.toString(), fields }));
    return { items, fence: fence.toString(), stay, next: next.length === 0 ? undefined : next.toString() };
  }

  async depart(kind: Kind, ids: readonly string[]): Promise<void> {
    await this.run(DEPART, [], [kind, ...ids]);
  }

  async vacate(): Promise<Left> {
    const answer = (await this.run(VACATE, [this.partition.keys.layout], [this.change.epoch])) as number[];
    const [entries = 0, owned = 0, waiting = 0, dead = 0] = answer;
    return { entries, owned, waiting, dead };
  }

  private run(script: typeof CLOSE, keys: readonly string[], args: readonly (string | number)[]) {
    return this.partition.link.script(script, [...this.partition.keys.fixed, ...keys], args);
  }
}
