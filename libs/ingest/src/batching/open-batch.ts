import type { DocumentOwner, UnsentPlace } from '../settling/document-owner.js';
import { Batch, type Commit } from './batch.js';

/** Lines taken out, beyond as many as are left: while a server stalls, calls that come and give up must not add up. */
const MAX_GAPS = 1_024;

/** The smallest buffer, in bytes: a few documents. */
const MIN_CAPACITY_BYTES = 1_024;

const LINE_BREAK = 10;

/**
 * Encoded documents that are not sealed yet, in the bytes in which they will be sent. Grows at one end; an abort may take any tracked line out.
 * A fire-and-forget document leaves its bytes and one number here, and nothing else.
 */
export class OpenBatch implements UnsentPlace {
  readonly isQueue = false;
  /** Documents in it, and their bytes. */
  count = 0;
  bytes = 0;
  trackedCount = 0;
  /** When the first document of it came in. */
  oldestAtMs = 0;
  /** Flushes before that. */
  generation = 0;
  private buffer: Buffer;
  private written = 0;
  /** End of each line, that of a line taken out included. */
  private ends: number[] = [];
  /** Only once there is a tracked line; then one for each line. */
  private owners: (DocumentOwner | undefined)[] | undefined;
  private positions: number[] = [];
  private lastOwner: DocumentOwner | undefined;
  private gaps: Set<number> | undefined;
  private isSealed = false;

  /**
   * @param expectedBytes what the batch will probably come to.
   * @param onTakenOut told what an abort took out.
   */
  constructor(
    expectedBytes: number,
    private readonly onTakenOut: (docs: number, bytes: number) => void,
  ) {
    this.buffer = Buffer.allocUnsafe(Math.max(MIN_CAPACITY_BYTES, expectedBytes));
  }

  /**
   * @param head what goes before the document, with a line break of its own; nothing, or ASCII for the greatest part.
   * @param line the document, without its line break.
   * @param atMost bytes that both need at most, the line break included.
   * @returns the bytes that they took.
   */
  add(head: string, line: string, atMost: number, owner: DocumentOwner | undefined, position: number): number {
    if (this.buffer.length - this.written < atMost) this.makeRoom(recordBytes(head, line));
    const { buffer, written: start } = this;
    let end = start;
    if (head !== '') end += buffer.write(head, end);
    end += buffer.write(line, end);
    buffer[end++] = LINE_BREAK;
    if (owner !== undefined || this.owners !== undefined) this.own(owner, position);
    this.ends.push(end);
    this.written = end;
    this.count++;
    this.bytes += end - start;
    return end - start;
  }

  takeOut(owner: DocumentOwner, firstLine: number): readonly number[] {
    const { owners } = this;
    const positions: number[] = [];
    let bytes = 0;
    if (this.isSealed || owners === undefined) return positions;
    this.gaps ??= new Set();
    for (let line = firstLine; owners[line] === owner; line++) {
      positions.push(this.positions[line] ?? 0);
      bytes += this.end(line) - this.end(line - 1);
      this.gaps.add(line);
      owners[line] = undefined;
    }
    this.count -= positions.length;
    this.trackedCount -= positions.length;
    this.bytes -= bytes;
    if (this.lastOwner === owner) this.lastOwner = undefined;
    if (this.gaps.size > MAX_GAPS + this.count) this.closeGaps();
    if (positions.length > 0) this.onTakenOut(positions.length, bytes);
    return positions;
  }

  /** From here on nothing can be taken out. Needs `count > 0`. */
  seal(commit: Commit, headed: boolean): Batch {
    this.closeGaps();
    this.isSealed = true;
    const { ends, positions } = this;
    const body = this.trimmed();
    const owners = this.trackedCount > 0 ? this.owners : undefined;
    this.owners = undefined;
    this.lastOwner = undefined;
    const origin = { commit, headed, oldestAtMs: this.oldestAtMs, generation: this.generation };
    return Batch.seal({ body, ends, owners, positions }, origin);
  }

  private own(owner: DocumentOwner | undefined, position: number): void {
    const line = this.ends.length;
    if (this.owners === undefined) {
      this.owners = new Array<undefined>(line);
      this.positions = new Array<number>(line).fill(0);
    }
    this.owners.push(owner);
    this.positions.push(position);
    if (owner === undefined) return;
    this.trackedCount++;
    if (owner !== this.lastOwner && owner.canAbort) owner.isPut(this, line);
    this.lastOwner = owner;
  }

  private end(line: number): number {
    return this.ends[line] ?? 0;
  }

  /** Asked with exact bytes: three times a large document, of which a third is used, would be allocated and then copied once more. */
  private makeRoom(bytes: number): void {
    if (this.buffer.length - this.written >= bytes) return;
    const grown = Buffer.allocUnsafe(Math.max(2 * this.buffer.length, this.written + bytes));
    this.buffer.copy(grown, 0, 0, this.written);
    this.buffer = grown;
  }

  /** The bytes, in no more memory than they need, a quarter aside: while a server stalls, many batches wait. */
  private trimmed(): Buffer {
    const { buffer, written } = this;
    const body = buffer.subarray(0, written);
    this.buffer = EMPTY;
    return buffer.length - written <= written / 4 ? body : Buffer.from(body);
  }

  private closeGaps(): void {
    const { gaps, ends, owners, positions, buffer } = this;
    if (gaps === undefined || gaps.size === 0) return;
    this.gaps = undefined;
    this.ends = [];
    this.owners = undefined;
    this.positions = [];
    this.lastOwner = undefined;
    this.trackedCount = 0;
    this.written = 0;
    for (let line = 0; line < ends.length; line++) {
      if (gaps.has(line)) continue;
      const [start, end] = [ends[line - 1] ?? 0, ends[line] ?? 0];
      buffer.copyWithin(this.written, start, end);
      const owner = owners?.[line];
      if (owner !== undefined || this.owners !== undefined) this.own(owner, positions[line] ?? 0);
      this.written += end - start;
      this.ends.push(this.written);
    }
  }
}

const EMPTY = Buffer.alloc(0);

/** Of a document and what goes before it, with its line break. */
export function recordBytes(head: string, line: string): number {
  return Buffer.byteLength(head) + Buffer.byteLength(line) + 1;
}
