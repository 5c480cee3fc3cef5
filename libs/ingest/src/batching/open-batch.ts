import type { TrackedLine, UnsentPlace } from '../settling/tracked-call.js';
import { Batch, type Commit } from './batch.js';

/** Lines taken out, beyond as many as are left: while a server stalls, calls that come and give up must not add up. */
const MAX_GAPS = 1_024;

/**
 * Encoded documents that are not sealed yet. Grows at one end; an abort may take any tracked line out. Fire-and-forget lines are a string
 * and a number in two arrays, and nothing else.
 */
export class OpenBatch implements UnsentPlace {
  count = 0;
  bytes = 0;
  trackedCount = 0;
  /** When the first document of it came in. */
  oldestAtMs = 0;
  /** Flushes before that. */
  generation = 0;
  private lines: (string | undefined)[] = [];
  private sizes: number[] = [];
  private tracked: (TrackedLine | undefined)[] | undefined;

  /** @param onRemove told the bytes of a line that an abort took out. */
  constructor(private readonly onRemove: (bytes: number) => void) {}

  /** `bytes` includes the line break. */
  add(line: string, bytes: number, tracked: TrackedLine | undefined): void {
    if (tracked !== undefined) {
      this.tracked ??= [];
      this.tracked[this.lines.length] = tracked;
      tracked.place = this;
      tracked.line = this.lines.length;
      this.trackedCount++;
    }
    this.lines.push(line);
    this.sizes.push(bytes);
    this.count++;
    this.bytes += bytes;
  }

  remove(line: number): void {
    if (this.lines[line] === undefined) return;
    const bytes = this.sizes[line] ?? 0;
    this.lines[line] = undefined;
    this.count--;
    this.trackedCount--;
    this.bytes -= bytes;
    if (this.lines.length > MAX_GAPS + 2 * this.count) this.closeGaps();
    this.onRemove(bytes);
  }

  /** From here on nothing can be taken out. Needs `count > 0`. */
  seal(commit: Commit): Batch {
    const starts = new Uint32Array(this.count + 1);
    const tracked: (TrackedLine | undefined)[] | undefined = this.trackedCount > 0 ? [] : undefined;
    let sealed = 0;
    for (let i = 0; i < this.lines.length; i++) {
      if (this.lines[i] === undefined) continue;
      const handle = this.tracked?.[i];
      if (handle !== undefined) handle.place = undefined;
      tracked?.push(handle);
      starts[sealed + 1] = (starts[sealed] ?? 0) + (this.sizes[i] ?? 0);
      sealed++;
    }
    const kept = sealed === this.lines.length ? this.lines : this.lines.filter((line) => line !== undefined);
    const body = Buffer.from(`${kept.join('\n')}\n`, 'utf8');
    return Batch.seal({ body, starts, tracked }, { commit, oldestAtMs: this.oldestAtMs, generation: this.generation });
  }

  private closeGaps(): void {
    const { lines, sizes, tracked } = this;
    this.lines = [];
    this.sizes = [];
    this.tracked = undefined;
    for (let i = 0; i < lines.length; i++) {
      const line = lines[i];
      if (line === undefined) continue;
      const handle = tracked?.[i];
      if (handle !== undefined) {
        this.tracked ??= [];
        this.tracked[this.lines.length] = handle;
        handle.line = this.lines.length;
      }
      this.lines.push(line);
      this.sizes.push(sizes[i] ?? 0);
    }
  }
}
