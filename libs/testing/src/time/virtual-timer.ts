/** What `setTimeout` returns, as far as code uses it. */
export class VirtualTimer {
  dueAt = Infinity;
  private isRef = true;
  private armedAs = 0;

  constructor(
    readonly number: number,
    private readonly callback: () => void,
    private readonly delayMs: number,
    private readonly isRepeated: boolean,
    /** Those that wait. */
    private readonly pending: Set<VirtualTimer>,
    private readonly monotonic: () => number,
  ) {}

  arm(): this {
    this.dueAt = this.monotonic() + this.delayMs;
    this.armedAs = ++armings;
    this.pending.add(this);
    return this;
  }

  /** Counts from now, also when it has fired or was cleared. */
  refresh(): this {
    return this.arm();
  }

  fire(): void {
    this.close();
    if (this.isRepeated) this.arm();
    this.callback();
  }

  /** Of those due at one time, the one that was set first. */
  comesBefore(other: VirtualTimer): boolean {
    return this.dueAt < other.dueAt || (this.dueAt === other.dueAt && this.armedAs < other.armedAs);
  }

  close(): this {
    this.pending.delete(this);
    return this;
  }

  ref(): this {
    this.isRef = true;
    return this;
  }

  unref(): this {
    this.isRef = false;
    return this;
  }

  hasRef(): boolean {
    return this.isRef;
  }

  [Symbol.toPrimitive](): number {
    return this.number;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

let armings = 0;
