import type { DocumentOutcome } from '../settling/receipt.js';
import type { ItemVerdict } from './reading.js';

/** The server has it. */
export function acceptedOutcome(attribution: 'document' | 'batch', alreadyPresent = false): DocumentOutcome {
  return { status: 'accepted', maybeDuplicate: false, alreadyPresent, attribution };
}

/** The server refused it, in these words if it used any. */
export function rejectedOutcome(
  failure: { readonly reason: string; readonly message: string } | undefined,
): DocumentOutcome {
  const cause = new Error(failure === undefined ? 'the server rejected it' : `${failure.reason}: ${failure.message}`);
  return { status: 'discarded', reason: 'rejected', cause };
}

/** What an item that will not be tried again came to. */
export function outcomeOfItem(item: Exclude<ItemVerdict, { readonly kind: 'retry' }>): DocumentOutcome {
  switch (item.kind) {
    case 'accepted':
      return item.alreadyPresent ? ALREADY_PRESENT : ACCEPTED;
    case 'rejected':
      return rejectedOutcome(item);
    case 'denied':
      return { status: 'discarded', reason: 'server', cause: item.cause };
  }
}

const ACCEPTED = acceptedOutcome('document');
const ALREADY_PRESENT = acceptedOutcome('document', true);
