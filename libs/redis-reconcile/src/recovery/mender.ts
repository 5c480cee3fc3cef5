import type { Clock } from '@nest-baton/core';
import type { Partition } from '../partitions/partition.js';
import { steppingOver } from './stepping-over.js';

/** Entries of the stream that a pass looks at, to find those that are not pending any more. */
const STRAYS_A_PASS = 100;
/** Data streams whose records one script looks at. */
const MEND_CHUNK = 200;
/** A pass looks at all records, or for this long; the next one goes on from there. */
const MAX_MEND_MS = 1000;

/**
 * Finds what the scan of pending entries cannot: records and waiters that a deleted entry has left behind, and entries that nobody would meet.
 *
 * - Keeps its places between passes, so that very many records cost no pass more than a second, and each is looked at in its turn.
 */
export class Mender {
  private readonly places = new Map<string, string>();
  private readonly strayPlaces = new Map<Partition, string>();

  constructor(private readonly clock: Clock) {}

  async mend(partition: Partition, failures: unknown[]): Promise<void> {
    for (const key of [partition.keys.owned, partition.keys.waitingIndex]) await this.mendOf(partition, key, failures);
  }

  /** A page a pass: nothing of ours makes strays, and a long list must not cost each pass. */
  async mendStrays(partition: Partition): Promise<void> {
    const next = await partition.mendStrays(this.strayPlaces.get(partition), STRAYS_A_PASS);
    if (next === undefined) this.strayPlaces.delete(partition);
    else this.strayPlaces.set(partition, next);
  }

  private async mendOf(partition: Partition, key: string, failures: unknown[]): Promise<void> {
    const act = (names: readonly string[]) => partition.mend(names);
    const until = this.clock.monotonic() + MAX_MEND_MS;
    do {
      const from = this.places.get(key) ?? '0';
      const [cursor, page] = await partition.link.call((redis) => redis.hscan(key, from, 'COUNT', MEND_CHUNK));
      // While a hash grows or shrinks the same name may come twice.
      const names = [...new Set(page.filter((_, i) => i % 2 === 0))];
      for (let i = 0; i < names.length; i += MEND_CHUNK)
        await steppingOver(names.slice(i, i + MEND_CHUNK), act, failures);
      if (cursor === '0') return void this.places.delete(key);
      this.places.set(key, cursor);
    } while (this.clock.monotonic() < until);
  }
}
