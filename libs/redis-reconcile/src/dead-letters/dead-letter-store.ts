import { HandoffInvalidError } from '../redis-reconcile.errors.js';
import type { Partition } from '../partitions/partition.js';
import { HANDLERS_GROUP } from '../scripts/script.js';
import type {
  DeadLetter,
  DeadLetterPage,
  DeadLetters,
  PurgeOptions,
  PurgeReport,
  RedriveAllOptions,
  RedriveReport,
} from './dead-letter.js';
import type { DeadLetterChanges } from './dead-letter-changes.js';
import { compareIds, type DeadEntry, toDeadLetter } from './dead-letter-entry.js';

/** What was given up: reads it here, and has it changed. */
export class DeadLetterStore implements DeadLetters {
  constructor(
    private readonly partitions: readonly Partition[],
    private readonly changes: DeadLetterChanges,
  ) {}

  redrive(handoffId: string): Promise<void> {
    return this.changes.redrive(handoffId);
  }

  redriveAll(options?: RedriveAllOptions): Promise<RedriveReport> {
    return this.changes.redriveAll(options);
  }

  purge(options?: PurgeOptions): Promise<PurgeReport> {
    return this.changes.purge(options);
  }

  async list({ cursor, limit = 100 }: { cursor?: string; limit?: number } = {}): Promise<DeadLetterPage> {
    if (!Number.isInteger(limit) || limit < 1 || limit > 1000)
      throw new HandoffInvalidError(`limit must be a whole number from 1 to 1000, not ${limit}.`);
    const from = this.parseCursor(cursor);
    const items: DeadLetter[] = [];
    for (const partition of this.partitions.slice(from.partition)) {
      const after = partition.index === from.partition ? from.after : '-';
      const wanted = limit - items.length;
      const entries = await partition.link.call((redis) =>
        redis.xrange(partition.keys.deadLetters, after, '+', 'COUNT', wanted),
      );
      items.push(...(await this.toDeadLetters(partition, entries)));
      const last = entries.at(-1);
      if (items.length === limit && last !== undefined) return { items, cursor: `${partition.index}:${last[0]}` };
    }
    return { items, cursor: undefined };
  }

  async get(handoffId: string): Promise<DeadLetter | undefined> {
    for (const partition of this.partitions) {
      const id = await partition.link.call((redis) => redis.hget(partition.keys.deadIndex, handoffId));
      if (id === null) continue;
      const entries = await partition.link.call((redis) => redis.xrange(partition.keys.deadLetters, id, id));
      const [found] = await this.toDeadLetters(partition, entries);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  private parseCursor(cursor: string | undefined): { readonly partition: number; readonly after: string } {
    if (cursor === undefined) return { partition: 0, after: '-' };
    const match = /^(\d{1,4}):(\d+-\d+)$/.exec(cursor);
    if (match === null) throw new HandoffInvalidError('This is not a cursor that a list of dead letters returned.');
    return { partition: Number(match[1]), after: `(${match[2]}` };
  }

  private async toDeadLetters(partition: Partition, entries: readonly DeadEntry[]): Promise<DeadLetter[]> {
    const [first] = entries;
    const last = entries.at(-1);
    if (first === undefined || last === undefined) return [];
    const told = await this.lastTold(partition);
    const pending =
      told === undefined
        ? []
        : await partition.link.call((redis) =>
            redis.xpending(partition.keys.deadLetters, HANDLERS_GROUP, first[0], last[0], entries.length),
          );
    const open = new Set((pending as [string][]).map(([id]) => id));
    return entries.map(([id, fields]) => {
      const isTold = told === undefined || compareIds(id, told) <= 0;
      return toDeadLetter(id, fields, isTold && !open.has(id));
    });
  }

  /** The last entry that any handler was given; `undefined` when there are no handlers. */
  private async lastTold(partition: Partition): Promise<string | undefined> {
    const groups = await partition.link.call((redis) => redis.xinfo('GROUPS', partition.keys.deadLetters));
    const [group] = groups as string[][];
    return group?.[group.indexOf('last-delivered-id') + 1];
  }
}
