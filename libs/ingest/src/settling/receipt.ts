/** Why a document is certainly not on the server and will not be tried again. */
export type DiscardReason =
  'encode' | 'invalid' | 'too_large' | 'buffer_full' | 'aborted' | 'closed' | 'rejected' | 'server';

/** What became of one document. Each tracked document ends in exactly one of these, once. */
export type DocumentOutcome =
  | {
      readonly status: 'accepted';
      /** An earlier attempt ended without an answer, so the server may hold it twice. */
      readonly maybeDuplicate: boolean;
      readonly alreadyPresent: boolean;
      /** `batch`: the server rejected part of its batch without saying which documents. */
      readonly attribution: 'document' | 'batch';
    }
  | { readonly status: 'discarded'; readonly reason: DiscardReason; readonly cause?: unknown }
  | { readonly status: 'unknown'; readonly cause: unknown };

/** The handle on the verdicts of one call. */
export interface IngestReceipt {
  /** Resolves when every document of the call is in the buffer or has been refused: the back-pressure. Never rejects. */
  readonly admitted: Promise<void>;
  /**
   * Resolves when all documents are accepted. May be called any number of times, by anyone. A signal ends this wait only; the documents stay.
   *
   * @throws IngestNotConfirmedError when the signal fires first, or when the fate of a document is unknown.
   * @throws IngestError when a document was discarded.
   */
  wait(options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** In the order of the input; never rejects. */
  readonly outcomes: Promise<readonly DocumentOutcome[]>;
  readonly settled: boolean;
}
