import type { TrackedLine } from '../settling/tracked-call.js';

/** How the server confirms: `auto` once the document is in its log, `wait_for` and `force` once it can be searched. */
export type Commit = 'auto' | 'wait_for' | 'force';

interface SealedLines {
  /** All lines, each with its line break. */
  readonly body: Buffer;
  /** Start of each line, and one more for the end. */
  readonly starts: Uint32Array;
  /** `undefined` when no line is tracked. */
  readonly tracked: readonly (TrackedLine | undefined)[] | undefined;
}

/** What does not change when a batch is split. */
export interface BatchOrigin {
  readonly commit: Commit;
  /** When its oldest document came in, on the monotonic clock. */
  readonly oldestAtMs: number;
  /** Flushes before its oldest document came in. */
  readonly generation: number;
}

/**
 * Documents sealed into one request. The bytes never change again; every line belongs to exactly one batch that has not ended.
 *
 * It ends once: by settling, or by a split that hands its lines to two new batches.
 */
export class Batch {
  /** The first attempt that may have reached the server without an answer. Inherited by both parts of a split. */
  ambiguity: { readonly cause: unknown } | undefined;
  private hasEnded = false;

  private constructor(
    private readonly lines: SealedLines,
    private readonly from: number,
    private readonly to: number,
    readonly origin: BatchOrigin,
  ) {}

  static seal(lines: SealedLines, origin: BatchOrigin): Batch {
    return new Batch(lines, 0, lines.starts.length - 1, origin);
  }

  /** Documents. */
  get size(): number {
    return this.to - this.from;
  }

  get byteLength(): number {
    return this.start(this.to) - this.start(this.from);
  }

  get body(): Buffer {
    return this.lines.body.subarray(this.start(this.from), this.start(this.to));
  }

  get isLive(): boolean {
    return !this.hasEnded;
  }

  /** The bytes of one document, without its line break. */
  line(line: number): Buffer {
    return this.lines.body.subarray(this.start(this.from + line), this.start(this.from + line + 1) - 1);
  }

  parse(line: number): unknown {
    return JSON.parse(this.line(line).toString('utf8'));
  }

  tracked(line: number): TrackedLine | undefined {
    return this.lines.tracked?.[this.from + line];
  }

  /** False when it had ended before. */
  end(): boolean {
    if (this.hasEnded) return false;
    this.hasEnded = true;
    return true;
  }

  /** Ends this batch; its first `head` documents and the rest live on, in this order. Needs 0 < head < size. */
  split(head: number): readonly [Batch, Batch] {
    if (head <= 0 || head >= this.size || !this.end()) throw new RangeError(`cannot split ${this.size} at ${head}`);
    const parts = [
      new Batch(this.lines, this.from, this.from + head, this.origin),
      new Batch(this.lines, this.from + head, this.to, this.origin),
    ] as const;
    for (const part of parts) part.ambiguity = this.ambiguity;
    return parts;
  }

  private start(line: number): number {
    return this.lines.starts[line] ?? 0;
  }
}
