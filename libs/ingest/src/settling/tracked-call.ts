import { IngestError, type IngestFailure, IngestNotConfirmedError } from '../ingest.errors.js';
import type { DocumentOutcome, IngestReceipt } from './receipt.js';

/** Where a tracked document is before it is sealed into a request, so that an abort can take it out. */
export interface UnsentPlace {
  /** Returns the bytes given back. Called at most once for a line. */
  remove(line: number): void;
}

/** The handle on one tracked document. */
export interface TrackedLine {
  readonly call: TrackedCall;
  /** Position in the call's input. */
  readonly index: number;
  /** `undefined` from the moment the document is sealed, refused or settled. */
  place: UnsentPlace | undefined;
  /** Its line in `place`. */
  line: number;
}

/**
 * The receipt of one call, and the only place where its documents' outcomes are kept.
 *
 * - A document's first outcome stands; every later one is ignored.
 * - `outcomes` resolves when the last document has settled, and never rejects, so that an unobserved receipt harms nobody.
 */
export class TrackedCall implements IngestReceipt {
  readonly outcomes: Promise<readonly DocumentOutcome[]>;
  readonly lines: TrackedLine[] = [];
  admitted: Promise<void> = ADMITTED;
  /** Run once, when the last document has settled. */
  whenSettled: (() => void) | undefined;
  private readonly found: (DocumentOutcome | undefined)[];
  private remaining: number;
  private resolveOutcomes: (outcomes: readonly DocumentOutcome[]) => void = () => undefined;

  constructor(
    size: number,
    readonly signal: AbortSignal | undefined,
  ) {
    this.remaining = size;
    this.found = new Array<DocumentOutcome | undefined>(size).fill(undefined);
    this.outcomes = new Promise((resolve) => (this.resolveOutcomes = resolve));
    if (size === 0) this.resolveOutcomes([]);
  }

  get settled(): boolean {
    return this.remaining === 0;
  }

  /** False when the document had settled before. */
  settle(index: number, outcome: DocumentOutcome): boolean {
    if (index >= this.found.length || this.found[index] !== undefined) return false;
    this.found[index] = outcome;
    this.remaining--;
    if (this.remaining > 0) return true;
    this.resolveOutcomes(this.found as DocumentOutcome[]);
    this.whenSettled?.();
    this.whenSettled = undefined;
    return true;
  }

  async wait(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    if (!this.settled) await untilFirst(this.outcomes, [options.signal, this.signal], this.found.length);
    const error = callError(this.found as DocumentOutcome[], this.signal);
    if (error !== undefined) throw error;
  }
}

/** One promise for every call that does not wait. */
export const ADMITTED: Promise<void> = Promise.resolve();

/**
 * What a settled call ends with; pure. Its own signal comes first, then what nobody knows, then what is certainly lost.
 */
export function callError(
  outcomes: readonly DocumentOutcome[],
  ownSignal: AbortSignal | undefined,
): IngestError | IngestNotConfirmedError | undefined {
  const failures: IngestFailure[] = [];
  let unknown: { readonly cause: unknown } | undefined;
  outcomes.forEach((outcome, index) => {
    if (outcome.status === 'unknown') unknown ??= outcome;
    if (outcome.status === 'discarded') failures.push({ index, reason: outcome.reason, cause: outcome.cause });
  });
  if (ownSignal?.aborted === true && failures.some(({ reason }) => reason === 'aborted'))
    return interrupted(ownSignal, outcomes.length);
  if (unknown !== undefined)
    return new IngestNotConfirmedError('At least one document was sent, and nobody knows whether the server has it.', {
      cause: unknown.cause,
    });
  const [first] = failures;
  return first === undefined ? undefined : new IngestError(first.reason, failures, { cause: first.cause });
}

function interrupted(signal: AbortSignal, documents: number): IngestNotConfirmedError {
  return new IngestNotConfirmedError(`The wait for ${documents} document(s) was ended by its signal.`, {
    cause: signal.reason,
  });
}

/** @throws IngestNotConfirmedError when a signal fires first, also one that fired before. */
export async function untilFirst(
  done: Promise<unknown>,
  signals: readonly (AbortSignal | undefined)[],
  documents: number,
): Promise<void> {
  const watched = signals.filter((signal) => signal !== undefined);
  const fired = watched.find(({ aborted }) => aborted);
  if (fired !== undefined) throw interrupted(fired, documents);
  const stops: (() => void)[] = [];
  try {
    await new Promise<void>((resolve, reject) => {
      void done.then(() => resolve());
      for (const signal of watched) {
        const stop = (): void => reject(interrupted(signal, documents));
        signal.addEventListener('abort', stop, { once: true });
        stops.push(() => signal.removeEventListener('abort', stop));
      }
    });
  } finally {
    for (const stop of stops) stop();
  }
}
