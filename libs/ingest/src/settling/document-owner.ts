import type { SpanContext } from '@opentelemetry/api';
import type { DocumentOutcome } from './receipt.js';

/** Whoever waits for the outcome of documents: the other end of a receipt. */
export interface DocumentOwner {
  /** The span in which the documents were handed in, to be linked with the requests that carry them. */
  readonly context: SpanContext | undefined;
  /** True when its documents may have to be taken out of the buffer again. */
  readonly canAbort: boolean;
  /**
   * @param position of the document in the call's input.
   * @returns false when that document had settled before.
   */
  settle(position: number, outcome: DocumentOutcome): boolean;
  /** Where its documents of a batch begin: they follow each other. Called only when it can abort; the last call counts. */
  isPut(place: UnsentPlace, firstLine: number): void;
}

/** Where documents are before they are sealed into a request, so that an abort can take them out. */
export interface UnsentPlace {
  /** What is there waits for room, which taking documents out of another place makes. */
  readonly isQueue: boolean;
  /** Takes out all documents of the owner, which begin at `firstLine`, and gives their room back. Their positions; none once they are sealed. */
  takeOut(owner: DocumentOwner, firstLine: number): readonly number[];
}
