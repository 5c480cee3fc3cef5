import { BatonError } from '@nest-baton/core';
import type { DiscardReason } from './settling/receipt.js';

/** One document that was discarded. */
export interface IngestFailure {
  /** Its position in the call's input. */
  readonly index: number;
  readonly reason: DiscardReason;
  readonly cause?: unknown;
}

/** At least one document is certainly not on the server and will not be tried again. `reason` is that of the first. */
export class IngestError extends BatonError {
  override readonly code = 'INGEST_DISCARDED';

  constructor(
    readonly reason: DiscardReason,
    readonly failures: readonly IngestFailure[],
    options: { readonly cause?: unknown } = {},
  ) {
    super(`${failures.length} document(s) discarded, the first because of '${reason}'.`, {
      ...options,
      retryable: reason === 'buffer_full' || reason === 'closed' || reason === 'server',
    });
  }
}

/**
 * The wait ended, or the fate of a document is unknown: it may or may not be on the server. `cause` is the signal's reason or the
 * transport's error. Hand the work in again, with the same document id.
 */
export class IngestNotConfirmedError extends BatonError {
  override readonly code = 'INGEST_NOT_CONFIRMED';

  constructor(message: string, options: { readonly cause?: unknown } = {}) {
    super(message, { ...options, retryable: true });
  }
}
