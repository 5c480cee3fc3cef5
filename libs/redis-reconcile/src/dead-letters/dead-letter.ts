/** A hand-off that was given up, kept. */
export interface DeadLetter {
  readonly handoffId: string;
  /** Empty for an entry that could not be read. */
  readonly dataStream: string;
  readonly info: unknown;
  /** `max_retries_exceeded`, or why an entry could not be read. */
  readonly reason: string;
  readonly attempts: number;
  /** Above that of every owner. */
  readonly fence: number;
  readonly lastOwner: string;
  readonly lastError: string;
  readonly deadAt: Date;
  /** `onDeadLetter` has resolved for it, or there is nobody to tell. */
  readonly isHandled: boolean;
}

export interface DeadLetterPage {
  readonly items: readonly DeadLetter[];
  /** Give it to the next call; `undefined` at the end. */
  readonly cursor: string | undefined;
}

export interface DeadLetters {
  /** Oldest first. `limit` 1 to 1 000, default 100. */
  list(options?: { readonly cursor?: string; readonly limit?: number }): Promise<DeadLetterPage>;
  get(handoffId: string): Promise<DeadLetter | undefined>;
}
