import type { DocumentOutcome } from './receipt.js';

/**
 * What may be said about a document, given that an earlier attempt may have reached the server (`ambiguity` is that attempt's error); pure.
 *
 * Such a document may be on the server whatever a later answer says, so nothing but the server's own refusal of the document can call it
 * discarded.
 */
export function honestOutcome(
  outcome: DocumentOutcome,
  ambiguity: { readonly cause: unknown } | undefined,
): DocumentOutcome {
  if (ambiguity === undefined) return outcome;
  switch (outcome.status) {
    case 'accepted':
      return outcome.maybeDuplicate ? outcome : { ...outcome, maybeDuplicate: true };
    case 'discarded':
      return outcome.reason === 'rejected' ? outcome : { status: 'unknown', cause: ambiguity.cause };
    case 'unknown':
      return outcome;
  }
}
