import type { WireFault } from '../http/wire-fault.js';
import type { FailureReason } from './contract/failure-reasons.js';
import type { SentDocument } from './ingest-request.js';

/**
 * What happens to a request instead of the ordinary answer. `before`: nothing was stored. `after`: what the request deserves was stored, but the
 * client does not learn it.
 */
export type IngestFault =
  /** An error before anything is stored, with `{"message": ...}` as the body, or Elasticsearch's error object on the bulk routes. */
  | { readonly kind: 'status'; readonly status: number; readonly message?: string; readonly retryAfter?: string }
  /** Something behind the route fails, for all documents, or for those of one index. Told as the server tells it on each route. */
  | { readonly kind: 'failure'; readonly reason: FailureReason; readonly index?: string }
  /** The server's load shield: 429 in the one form that both routes share, after its pause of 100 ms. */
  | { readonly kind: 'load-shield' }
  /** Never answers. */
  | { readonly kind: 'stall'; readonly when: 'before' | 'after' }
  /** Drops the connection. */
  | { readonly kind: 'reset'; readonly when: 'before' | 'after' }
  /** Ends the connection with a FIN, without an answer. */
  | { readonly kind: 'hang-up'; readonly when: 'before' | 'after' }
  /** Answers this much later, and stores at once (default) or only then. */
  | { readonly kind: 'slow'; readonly delayMs: number; readonly when?: 'before' | 'after' }
  /** Stores, and answers as the legacy service does: without verdicts. */
  | { readonly kind: 'legacy' }
  /** Verdicts for the items of a bulk; `undefined` for those that get what they deserve. Does nothing on the native route. */
  | {
      readonly kind: 'items';
      readonly verdict: (document: SentDocument, position: number) => ItemVerdict | undefined;
    }
  /**
   * Another answer than the ordinary one, which is given to the function: other counts, fewer items, no JSON (a string is sent as it is).
   * Stores first (default), or does not.
   */
  | {
      readonly kind: 'answer';
      readonly when?: 'before' | 'after';
      readonly status?: number;
      readonly body: AnswerBody | ((ordinary: Readonly<Record<string, unknown>>) => AnswerBody);
    }
  /** Stores; then something goes wrong with the answer on its way. */
  | WireFault;

/** A string is sent as it is, all else as JSON. */
export type AnswerBody = string | Readonly<Record<string, unknown>> | readonly unknown[] | null;

/** A status, or more: what is 400 or above is not stored unless `isStored` (a 500 or 408 after the fact). Texts default to the server's. */
export type ItemVerdict =
  number | { readonly status: number; readonly type?: string; readonly reason?: string; readonly isStored?: boolean };

/** What happens to a request of which nothing but the head was read. Nothing is stored. */
export type UnreadIngestFault = (
  | { readonly kind: 'status'; readonly status: number; readonly message?: string; readonly retryAfter?: string }
  | { readonly kind: 'stall' }
  | { readonly kind: 'reset' }
  | { readonly kind: 'hang-up' }
) & {
  /** Reads at least so much of the body first (as it comes: rarely exactly so much). Default 0. */
  readonly afterBytes?: number;
};
