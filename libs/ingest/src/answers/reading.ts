import type { ParseFailure } from './match-failures.js';
import { retryAfterMs } from './retry-after.js';

/** Of what a server says in words, in characters. */
const MAX_TEXT = 500;

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
      /** It ended before the server had any part in it: `auth` failed, or we cancelled it. */
      readonly isOurs?: boolean;
      readonly cause: unknown;
    };

/** What an attempt means for its documents. */
export type Reading =
  | { readonly kind: 'accepted'; readonly rejected: number; readonly failures: readonly ParseFailure[] }
  /** Not every document was simply accepted; one verdict for each, in their order. */
  | { readonly kind: 'judged'; readonly items: readonly ItemVerdict[] }
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

/** What a server said of one document. */
export type ItemVerdict =
  /** `alreadyPresent`: an earlier attempt, or somebody else, had stored it under its id. */
  | { readonly kind: 'accepted'; readonly alreadyPresent: boolean }
  | { readonly kind: 'rejected'; readonly reason: string; readonly message: string }
  /** `isAmbiguous`: it may be on the server. */
  | { readonly kind: 'retry'; readonly isAmbiguous: boolean; readonly cause: Error }
  /** Not the document's fault: credentials, index. */
  | { readonly kind: 'denied'; readonly status: number; readonly cause: Error };

/**
 * What an attempt means as a whole, under every protocol; pure. `readTaken` reads the complete body of a 200, which alone can mean success.
 *
 * A complete error answer of the server is definite: it has none of the documents. A gateway's 502 and 504 say that the gateway itself got no
 * complete answer, so they are ambiguous.
 */
export function readAttempt(result: AttemptResult, nowMs: number, readTaken: (body: Buffer) => Reading): Reading {
  if (result.kind === 'no_answer')
    return { kind: 'retry', isAmbiguous: result.wasSent, retryAfterMs: undefined, cause: result.cause };
  const { status, body, isCut } = result;
  if (status === 200) return isCut ? impossible('its answer is too long') : readTaken(body);
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

/** A 200 that cannot be the answer to this request, or not all of it: nobody knows, then. */
export function impossible(why: string): Reading {
  const cause = new Error(`the server answered 200, but ${why}`);
  return { kind: 'retry', isAmbiguous: true, retryAfterMs: undefined, cause };
}

/** `value[name]` of a parsed JSON value; `undefined` where there is none, or where it is null. */
export function field(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return (value as Readonly<Record<string, unknown>>)[name] ?? undefined;
}

/** Of an error as servers show it: `{type, reason}`, or its text alone. `undefined` for what is neither. */
export function errorTexts(error: unknown): { readonly type: string | undefined; readonly reason: string } | undefined {
  if (typeof error === 'string') return { type: undefined, reason: error.slice(0, MAX_TEXT) };
  const type = field(error, 'type');
  const reason = field(error, 'reason');
  if (typeof type !== 'string' && typeof reason !== 'string') return undefined;
  return {
    type: typeof type === 'string' ? type : undefined,
    reason: typeof reason === 'string' ? reason.slice(0, MAX_TEXT) : '',
  };
}

/** Quickwit's `{"message": "..."}`, Elasticsearch's `{"error": ...}`, or the body itself where it is short. */
function messageOf(body: Buffer): string {
  const text = body.subarray(0, 64 * 1_024).toString('utf8');
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    return text.trim().slice(0, 200);
  }
  const message = field(answer, 'message');
  if (typeof message === 'string') return message.slice(0, MAX_TEXT);
  const error = errorTexts(field(answer, 'error'));
  return [error?.type, error?.reason].filter((part) => part !== undefined && part !== '').join(': ');
}
