import { errorCode } from '@nest-baton/core';
import type { DiscardReason } from './receipt.js';

/**
 * What to tell the broker about the message whose documents were handed in; pure.
 *
 * - Nothing was thrown: `ack`.
 * - Documents were discarded, all for one reason, and for what they are (encode, invalid, too_large, rejected): `dead_letter`, since they will
 *   never get in.
 * - Anything else: `nack`. Also `server` and mixed reasons, so that one misconfiguration does not dead-letter a whole queue.
 *
 * One document a call gives a clean mapping.
 */
export function ackDecision(error?: unknown): 'ack' | 'dead_letter' | 'nack' {
  if (error === undefined) return 'ack';
  if (errorCode(error) !== 'INGEST_DISCARDED') return 'nack';
  const { failures } = error as { readonly failures?: readonly { readonly reason: DiscardReason }[] };
  const reasons = new Set(failures?.map(({ reason }) => reason));
  const [reason] = reasons;
  return reason !== undefined && reasons.size === 1 && isFault(reason) ? 'dead_letter' : 'nack';
}

function isFault(reason: DiscardReason): boolean {
  switch (reason) {
    case 'encode':
    case 'invalid':
    case 'too_large':
    case 'rejected':
      return true;
    case 'buffer_full':
    case 'aborted':
    case 'closed':
    case 'server':
      return false;
  }
}
