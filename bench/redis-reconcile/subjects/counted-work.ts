import { expectCount, WorkNotDoneError } from '../../harness/index.js';

/**
 * The work that every side does: nothing, once a gate is open. The gate keeps workers that read by themselves from starting before the backlog
 * is there. Each data stream must come exactly once.
 */
export class CountedWork {
  private gate = newGate();
  private readonly seen = new Set<string>();
  private twice = 0;
  private awaited: { readonly count: number; readonly resolve: () => void } | undefined;

  readonly handle = async (dataStream: string): Promise<void> => {
    if (!this.gate.isOpen) await this.gate.opened;
    if (this.seen.has(dataStream)) this.twice++;
    else this.seen.add(dataStream);
    if (this.seen.size === this.awaited?.count) this.awaited.resolve();
  };

  /** For sides that do not tell when they have acknowledged: the last one's acknowledgement is missing then. */
  untilSeen(count: number): Promise<void> {
    return new Promise((resolve) => (this.awaited = { count, resolve }));
  }

  /** Before the backlog is put there. */
  close(): void {
    this.gate = newGate();
    this.seen.clear();
    this.twice = 0;
  }

  open(): void {
    this.gate.isOpen = true;
    this.gate.open();
  }

  /** @throws WorkNotDoneError unless each of so many data streams was handled once. */
  check(count: number): void {
    expectCount('data streams handled', this.seen.size, count);
    if (this.twice > 0) throw new WorkNotDoneError(`${this.twice} data streams were handled more than once.`);
  }
}

function newGate(): { isOpen: boolean; readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { isOpen: false, opened, open };
}
