/** Of a receiver's words, as they are stored and shown. */
export const MAX_CHARACTERS = 1_000;

/**
 * A receiver's words, safe to store in Postgres and to show in a terminal; pure. NUL and other control characters become spaces, lone
 * surrogates the replacement character, and at most 1 000 characters are kept.
 */
export function sanitisedText(text: string): string {
  // Cut first: the slice may split a pair, which the way through UTF-8 repairs.
  const cut = Buffer.from(text.slice(0, MAX_CHARACTERS), 'utf8').toString('utf8');
  // eslint-disable-next-line no-control-regex
  return cut.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ').trim();
}
