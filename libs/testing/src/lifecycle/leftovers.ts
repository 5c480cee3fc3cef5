import assert from 'node:assert/strict';
import { systemClock } from '@nest-baton/core';
import type { Counts, LifecycleSubject } from './lifecycle-subject.js';
import type { ResourceWatch } from './resource-watch.js';

const LOOK_EVERY_MS = 20;

/** What a subject has open that it had not before. */
export class Leftovers {
  constructor(
    private readonly subject: LifecycleSubject,
    private readonly before: Counts,
    private readonly watch: ResourceWatch,
    private readonly ignores: RegExp | undefined,
  ) {}

  /** Sockets, and servers' accounts of them, need a moment after the last word; a timer that runs longer than that is left behind. */
  async areGoneWithin(ms: number): Promise<void> {
    // No timer of ours may be there while it looks, so this is no waitFor().
    const deadline = systemClock.monotonic() + ms;
    let left = await this.look();
    while (left.length > 0 && systemClock.monotonic() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      left = await this.look();
    }
    assert(left.length === 0, `left open after stop():\n    ${left.join('\n    ')}`);
  }

  private async look(): Promise<string[]> {
    const open = (await this.subject.open?.()) ?? {};
    const kept = Object.entries(open)
      .filter(([name, count]) => count > (this.before[name] ?? 0))
      .map(([name, count]) => `${name}: ${count} open, ${this.before[name] ?? 0} before`);
    // Node calls a timer gone only when everything that its function started has run.
    await turns(2);
    return [...kept, ...this.watch.leftovers().filter((line) => this.ignores?.test(line) !== true)];
  }
}

export function turns(count: number): Promise<void> {
  return count === 0
    ? Promise.resolve()
    : new Promise((resolve) => setImmediate(() => void turns(count - 1).then(resolve)));
}
