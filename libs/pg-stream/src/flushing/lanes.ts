import type { Queryable } from '@nest-baton/core';
import type { StreamLine } from './stream-line.js';

/** So many streams that are held by somebody can be waited for at once; what waits for a lane is not written meanwhile. */
export const MAX_LANES = 4;

/**
 * Connections on which to wait for the lock of one stream each, so that nobody else waits with it. First come, first served.
 */
export class Lanes {
  private readonly free: Queryable[];
  private readonly waiting: StreamLine[] = [];

  /** @param write settles the line's head, and never rejects. */
  constructor(
    connections: readonly Queryable[],
    private readonly write: (line: StreamLine, on: Queryable) => Promise<void>,
  ) {
    this.free = [...connections];
  }

  add(line: StreamLine): void {
    this.waiting.push(line);
    this.next();
  }

  private next(): void {
    const on = this.free.pop();
    if (on === undefined) return;
    const line = this.waiting.shift();
    if (line === undefined) return void this.free.push(on);
    void this.write(line, on).then(() => {
      this.free.push(on);
      this.next();
    });
  }
}
