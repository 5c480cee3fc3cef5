import { field } from './json-field.js';
import type { ParseFailure } from './match-failures.js';
import { retryAfterMs } from './retry-after.js';

/** What one attempt came to, as the transport saw it. */
export type AttemptResult =
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly retryAfter: string | undefined;
      readonly body: Buffer;
      /** We stopped reading, since it was too long. */
      readonly isCut: boolean;
    }
  | {
      readonly kind: 'no_answer';
      /** False when certainly no byte of the request was sent. */
      readonly wasSent: boolean;
      readonly cause: unknown;
    };

/** What an attempt means for its documents. */
export type Reading =
  | { readonly kind: 'accepted'; readonly rejected: number; readonly failures: readonly ParseFailure[] }
  /** 413: fewer bytes may pass. */
  | { readonly kind: 'too_large'; readonly cause: Error }
  /** 400, 409, 422: something in the request is wrong, perhaps one document. */
  | { readonly kind: 'refused'; readonly status: number; readonly message: string; readonly cause: Error }
  /** The request as such is not wanted: credentials, index, address. */
  | { readonly kind: 'denied'; readonly status: number; readonly cause: Error }
  /** `isAmbiguous`: the documents may be on the server. */
  | {
      readonly kind: 'retry';
      readonly isAmbiguous: boolean;
      readonly retryAfterMs: number | undefined;
      readonly cause: unknown;
    };

/**
 * What an attempt with `size` documents means; pure.
 *
 * Only a complete 200 that can be true is success. A complete error answer of the server is definite: it has none of the documents. A gateway's
 * 502 and 504 say that the gateway itself got no complete answer, so they are ambiguous.
 */
export function readAnswer(result: AttemptResult, size: number, nowMs: number): Reading {
  if (result.kind === 'no_answer')
    return { kind: 'retry', isAmbiguous: result.wasSent, retryAfterMs: undefined, cause: result.cause };
  const { status, body, isCut } = result;
  if (status === 200) return isCut ? impossible('its answer is too long') : readAccepted(body, size);
  const message = isCut ? '' : messageOf(body);
  const cause = new Error(`the server answered ${status}${message === '' ? '' : `: ${message}`}`);
  const retry = (isAmbiguous: boolean, pauseMs?: number): Reading => ({
    kind: 'retry',
    isAmbiguous,
    retryAfterMs: pauseMs,
    cause,
  });
  switch (status) {
    case 413:
      return { kind: 'too_large', cause };
    case 400:
    case 409:
    case 422:
      return { kind: 'refused', status, message, cause };
    case 408:
    case 425:
      return retry(false);
    case 429:
    case 503:
      return retry(false, retryAfterMs(result.retryAfter, nowMs));
    case 502:
    case 504:
      return retry(true);
    default:
      // 501 and 505 stay what they are however often we ask; so does every other 3xx and 4xx.
      if ((status >= 300 && status < 500) || status === 501 || status === 505) return { kind: 'denied', status, cause };
      return retry(status < 300);
  }
}

/**
 * Old servers, and sinks that are no Quickwit, say nothing about documents: that counts as accepted. An answer that begins as JSON and is none
 * was cut off; counts that contradict the request belong to another one, or to a bug. Neither is success.
 */
function readAccepted(body: Buffer, size: number): Reading {
  const text = body.toString('utf8').trim();
  if (!text.startsWith('{')) return { kind: 'accepted', rejected: 0, failures: [] };
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    return impossible('its answer is not complete');
  }
  const received = field(answer, 'num_docs_for_processing') ?? size;
  const rejected = field(answer, 'num_rejected_docs') ?? 0;
  if (!isCount(received) || !isCount(rejected)) return impossible('its counts are no counts');
  const ingested = field(answer, 'num_ingested_docs') ?? size - rejected;
  if (!isCount(ingested)) return impossible('its counts are no counts');
  if (received !== size || ingested + rejected !== size)
    return impossible(`it counted ${received} documents of ${size}, ${ingested} ingested, ${rejected} rejected`);
  const failures = parseFailures(field(answer, 'parse_failures'));
  if (failures.length > rejected) return impossible(`it names ${failures.length} failures of ${rejected}`);
  return { kind: 'accepted', rejected, failures };
}

function impossible(why: string): Reading {
  const cause = new Error(`the server answered 200, but ${why}`);
  return { kind: 'retry', isAmbiguous: true, retryAfterMs: undefined, cause };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function parseFailures(value: unknown): ParseFailure[] {
  if (!Array.isArray(value)) return [];
  return value.map((failure: unknown) => {
    const document = field(failure, 'document');
    return {
      reason: textOf(field(failure, 'reason'), 'unspecified'),
      message: textOf(field(failure, 'message'), ''),
      document: typeof document === 'string' ? document : undefined,
    };
  });
}

/** `{"message": "..."}`, or the body itself where it is short. At most 500 characters. */
function messageOf(body: Buffer): string {
  const text = body.subarray(0, 64 * 1_024).toString('utf8');
  try {
    return textOf(field(JSON.parse(text), 'message'), '').slice(0, 500);
  } catch {
    return text.trim().slice(0, 200);
  }
}

function textOf(value: unknown, fallback: string): string {
  return typeof value === 'string' ? value : fallback;
}
