/** Between two looks for tokens, whatever the rates are. */
const SHORTEST_MS = 20;

/** Wakes when the next tokens come for something that is due. A plain timer: it says nothing that the poll would not find. */
export class TokenWake {
  private timer: NodeJS.Timeout | undefined;
  private isStopped = false;

  constructor(private readonly wake: () => void) {}

  /** Undefined: nothing waits for a token. */
  in(ms: number | undefined): void {
    clearTimeout(this.timer);
    if (ms === undefined || this.isStopped) return;
    this.timer = setTimeout(this.wake, Math.max(SHORTEST_MS, ms));
  }

  stop(): void {
    this.isStopped = true;
    clearTimeout(this.timer);
  }
}
