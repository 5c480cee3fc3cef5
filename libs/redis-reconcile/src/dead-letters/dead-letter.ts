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

/** Which dead letters are meant: those for which all that is given holds. */
export interface DeadLetterFilter {
  readonly reason?: string;
  readonly dataStream?: string;
  readonly deadBefore?: Date;
  /** Must not change anything: a letter may be shown twice. */
  readonly where?: (letter: DeadLetter) => boolean;
}

export interface RedriveAllOptions extends DeadLetterFilter {
  /** At most so many, the oldest of each partition. Default all. */
  readonly limit?: number;
  /** Hand-offs a second: what is redriven is work for the same workers that fail on it, maybe. Default 100; from 0.1 to 100 000. */
  readonly ratePerSecond?: number;
  /** Ends it early; what was redriven stays so. */
  readonly signal?: AbortSignal;
}

export interface RedriveReport {
  readonly redriven: number;
  /** Could not be read when they came, and still cannot; kept. */
  readonly unreadable: number;
}

export interface PurgeOptions extends DeadLetterFilter {
  /** At most so many, the oldest of each partition. Default all. */
  readonly limit?: number;
  /** Also what `onDeadLetter` has not resolved for: nobody will ever be told of it. Default false. */
  readonly includeUntold?: boolean;
  /** Ends it early; what was purged stays so. */
  readonly signal?: AbortSignal;
}

export interface PurgeReport {
  readonly purged: number;
  /** Kept, since `onDeadLetter` has not resolved for them. */
  readonly untold: number;
}

export interface DeadLetters {
  /** Oldest first. `limit` 1 to 1 000, default 100. @throws HandoffInvalidError; RedisUnavailableError */
  list(options?: { readonly cursor?: string; readonly limit?: number }): Promise<DeadLetterPage>;
  get(handoffId: string): Promise<DeadLetter | undefined>;
  /**
   * Hands it off again under its id, as a first attempt, and takes it from the dead letters in the same step, whether anybody was told of it or not.
   *
   * @throws DeadLetterNotFoundError; HandoffInvalidError for an entry that nobody can read; RedisUnavailableError: it may have been redriven.
   */
  redrive(handoffId: string): Promise<void>;
  /** Redrives those that are dead when it is called; what dies again meanwhile is left. @throws OptionsInvalidError; RedisUnavailableError: what was redriven stays so. */
  redriveAll(options?: RedriveAllOptions): Promise<RedriveReport>;
  /** Forgets those that are dead when it is called. @throws OptionsInvalidError; RedisUnavailableError: what was purged stays so. */
  purge(options?: PurgeOptions): Promise<PurgeReport>;
}
