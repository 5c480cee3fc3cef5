import { IngestError, type IngestFailure, IngestNotConfirmedError } from '../ingest.errors.js';
import type { DocumentOutcome } from './receipt.js';

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

function interrupted(signal: AbortSignal, documents: number): IngestNotConfirmedError {
  return new IngestNotConfirmedError(`The wait for ${documents} document(s) was ended by its signal.`, {
    cause: signal.reason,
  });
}
