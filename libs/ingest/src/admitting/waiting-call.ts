import type { TrackedLine, UnsentPlace } from '../settling/tracked-call.js';

/** The documents of one call for which there is no room yet, encoded and in order. */
export class WaitingCall implements UnsentPlace {
  /** Resolves when none of them waits any more. */
  readonly admitted: Promise<void>;
  /** Documents and bytes that still wait. */
  docs = 0;
  bytes = 0;
  private readonly lines: (string | undefined)[] = [];
  private readonly sizes: number[] = [];
  private readonly tracked: (TrackedLine | undefined)[] = [];
  private next = 0;
  private resolve: () => void = () => undefined;

  constructor(
    readonly arrivedAtMs: number,
    readonly generation: number,
    private readonly onRemove: (call: WaitingCall, bytes: number) => void,
  ) {
    this.admitted = new Promise((resolve) => (this.resolve = resolve));
  }

  add(line: string, bytes: number, tracked: TrackedLine | undefined): void {
    if (tracked !== undefined) {
      tracked.place = this;
      tracked.line = this.lines.length;
    }
    this.lines.push(line);
    this.sizes.push(bytes);
    this.tracked.push(tracked);
    this.docs++;
    this.bytes += bytes;
  }

  remove(line: number): void {
    const bytes = this.sizes[line] ?? 0;
    if (this.lines[line] === undefined) return;
    this.lines[line] = undefined;
    this.docs--;
    this.bytes -= bytes;
    if (this.docs === 0) this.end();
    this.onRemove(this, bytes);
  }

  /** Bytes of the next document, or `undefined` when none waits any more. */
  peek(): number | undefined {
    while (this.next < this.lines.length && this.lines[this.next] === undefined) this.next++;
    return this.sizes[this.next];
  }

  /** The next document; call after `peek` has named its bytes. */
  take(): { readonly line: string; readonly bytes: number; readonly tracked: TrackedLine | undefined } {
    const at = this.next++;
    const [line = '', bytes = 0, tracked] = [this.lines[at], this.sizes[at], this.tracked[at]];
    this.lines[at] = undefined;
    this.docs--;
    this.bytes -= bytes;
    if (tracked !== undefined) tracked.place = undefined;
    return { line, bytes, tracked };
  }

  end(): void {
    this.resolve();
  }
}
