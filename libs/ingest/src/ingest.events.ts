import type { Commit } from './batching/batch.js';
import type { CloseReport } from './operating/ingest-report.js';
import type { RejectReport } from './settling/hooks.js';
import type { DiscardReason } from './settling/receipt.js';

/** A batch, or a part of one that was split, all of whose documents have settled. */
export interface BatchSettled {
  readonly documents: number;
  /** Uncompressed. */
  readonly bytes: number;
  readonly commit: Commit;
  readonly accepted: number;
  readonly discarded: Readonly<Partial<Record<DiscardReason, number>>>;
  readonly unknown: number;
  /** Of the accepted ones: those that an attempt without an answer may have stored before. */
  readonly maybeDuplicates: number;
  /** From the arrival of its oldest document. */
  readonly durationMs: number;
}

/**
 * What `IngestService.on` tells of, each at most once a request or batch; single documents are told of by receipts and hooks. A `cause` may hold
 * the server's words, which may quote a document: do not log it as it is.
 */
export interface IngestEvents {
  /** Told after receipts and hooks. */
  readonly batchSettled: BatchSettled;
  /** The server refused documents; the same as the hook `onReject`. */
  readonly rejected: RejectReport;
  /** An attempt failed, and another follows after `delayMs` and any pause that holds. `attempt` counts from 1. */
  readonly retry: {
    readonly documents: number;
    readonly attempt: number;
    readonly delayMs: number;
    /** The server may have stored the documents all the same. */
    readonly isAmbiguous: boolean;
    readonly cause: unknown;
  };
  /** The first attempt of a batch without a complete answer: its documents can no longer be called discarded but by the server itself. */
  readonly ambiguous: { readonly documents: number; readonly cause: unknown };
  /** The server asked for a pause (429 or 503 with `Retry-After`), which holds for the whole index. */
  readonly paused: { readonly pauseMs: number };
  /** 413: batches keep below `limitBytes`, on the wire, for 10 minutes. */
  readonly tooLarge: { readonly documents: number; readonly wireBytes: number; readonly limitBytes: number };
  /** 401, 403, 404 and the like, also after `auth` was asked again: the batch was given up with the reason `server`. */
  readonly denied: { readonly documents: number; readonly status: number; readonly cause: unknown };
  /** The server takes requests again, `afterMs` since the first that failed or was denied. */
  readonly recovered: { readonly afterMs: number };
  /** The buffer is full: calls begin to wait for room. Not told again before all of them got in. */
  readonly full: { readonly bufferedDocs: number; readonly bufferedBytes: number };
  /** `close()` has ended; what is left is in the report. */
  readonly closed: CloseReport;
}
