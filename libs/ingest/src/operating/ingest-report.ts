import type { DiscardReason } from '../settling/receipt.js';

/** What `close()` settled, counted from its call. */
export interface CloseReport {
  readonly accepted: number;
  readonly discarded: Readonly<Partial<Record<DiscardReason, number>>>;
  /** Sent, and nobody knows: in flight without an answer when the time was up. */
  readonly unknown: number;
  readonly durationMs: number;
}

/** One look at the service. Counts are since the start. */
export interface IngestStats {
  /** Documents admitted and not settled, those in flight included. */
  readonly bufferedDocs: number;
  readonly bufferedBytes: number;
  /** Documents whose call waits for room. */
  readonly waitingDocs: number;
  readonly inFlightRequests: number;
  /** Requests that may run at a time now, those that wait for a commit aside. */
  readonly concurrencyLimit: number;
  /** `open`: the server does not want our requests, and one at a time finds out whether it does again. */
  readonly circuit: 'open' | 'closed';
  /** Age of the oldest document not settled, in milliseconds; 0 when there is none. */
  readonly lagMs: number;
  readonly accepted: number;
  readonly discarded: Readonly<Partial<Record<DiscardReason, number>>>;
  readonly unknown: number;
  readonly requests: number;
  readonly retries: number;
}
