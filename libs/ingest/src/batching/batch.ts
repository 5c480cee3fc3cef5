import type { SpanContext } from '@opentelemetry/api';
import type { DocumentOwner } from '../settling/document-owner.js';

/** How the server confirms: `auto` once the document is in its log, `wait_for` and `force` once it can be searched. */
export type Commit = 'auto' | 'wait_for' | 'force';

interface SealedLines {
  /** All documents, each with what goes before it and with its line break. */
  readonly body: Buffer;
  /** End of each. */
  readonly ends: readonly number[];
  /** `undefined` when no document is tracked. */
  readonly owners: readonly (DocumentOwner | undefined)[] | undefined;
  /** Where the document stands in its owner's call. */
  readonly positions: readonly number[];
}

/** What does not change when a batch is split. */
export interface BatchOrigin {
  readonly commit: Commit;
  /** A line of its own goes before each document. */
  readonly headed: boolean;
  /** When its oldest document came in, on the monotonic clock. */
  readonly oldestAtMs: number;
  /** Flushes before its oldest document came in. */
  readonly generation: number;
}

const LINE_BREAK = 10;

/**
 * Documents sealed into one request. The bytes never change again; every document belongs to exactly one batch that has not ended.
 *
 * It ends once: by settling, or by handing its documents to two new batches.
 */
export class Batch {
  /** The first attempt that may have reached the server without an answer. Inherited by both parts of a split. */
  ambiguity: { readonly cause: unknown } | undefined;
  /** Attempts that failed, which its next wait depends on. */
  failures = 0;
  private hasEnded = false;

  private constructor(
    private readonly lines: SealedLines,
    private readonly from: number,
    private readonly to: number,
    readonly origin: BatchOrigin,
  ) {}

  static seal(lines: SealedLines, origin: BatchOrigin): Batch {
    return new Batch(lines, 0, lines.ends.length, origin);
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

  get isTracked(): boolean {
    return this.lines.owners !== undefined;
  }

  /** The bytes of one document, without what goes before it and without its line break. */
  line(line: number): Buffer {
    const record = this.record(line);
    return record.subarray(this.origin.headed ? record.indexOf(LINE_BREAK) + 1 : 0, -1);
  }

  parse(line: number): unknown {
    return JSON.parse(this.line(line).toString('utf8'));
  }

  owner(line: number): DocumentOwner | undefined {
    return this.lines.owners?.[this.from + line];
  }

  position(line: number): number {
    return this.lines.positions[this.from + line] ?? 0;
  }

  /** The spans in which its tracked documents were handed in, one for each call at least. */
  *contexts(): Iterable<SpanContext> {
    let last: DocumentOwner | undefined;
    for (let line = 0; this.isTracked && line < this.size; line++) {
      const owner = this.owner(line);
      if (owner !== last && owner?.context !== undefined) yield owner.context;
      last = owner;
    }
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

  /** Ends this batch; the documents for which `isPicked` holds, and the others, live on, each in their order. Needs some of both. */
  divide(isPicked: (line: number) => boolean): readonly [picked: Batch, others: Batch] {
    const picked: number[] = [];
    const others: number[] = [];
    for (let line = 0; line < this.size; line++) (isPicked(line) ? picked : others).push(line);
    if (picked.length === 0 || others.length === 0 || !this.end())
      throw new RangeError(`cannot divide ${this.size} into ${picked.length} and ${others.length}`);
    return [this.copyOf(picked), this.copyOf(others)];
  }

  private copyOf(lines: readonly number[]): Batch {
    let bytes = 0;
    const ends = lines.map((line) => (bytes += this.record(line).length));
    const body = Buffer.allocUnsafe(bytes);
    lines.forEach((line, i) => this.record(line).copy(body, ends[i - 1] ?? 0));
    const owners = this.isTracked ? lines.map((line) => this.owner(line)) : undefined;
    const positions = owners === undefined ? [] : lines.map((line) => this.position(line));
    const copy = Batch.seal({ body, ends, owners, positions }, this.origin);
    copy.ambiguity = this.ambiguity;
    copy.failures = this.failures;
    return copy;
  }

  private record(line: number): Buffer {
    return this.lines.body.subarray(this.start(this.from + line), this.start(this.from + line + 1));
  }

  private start(line: number): number {
    return line === 0 ? 0 : (this.lines.ends[line - 1] ?? 0);
  }
}
