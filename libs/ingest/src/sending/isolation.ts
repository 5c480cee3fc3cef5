/** Requests that one batch may cost to find the documents that the server does not want. */
export const ISOLATION_BUDGET = 64;

/**
 * What two refused halves of a refused batch say; pure. `undefined` is a half that was not refused.
 *
 * Different words, or one half that went through, mean that documents are at fault: search on. The same words for everything may mean the
 * request as such: ask with a single document before blaming any.
 */
export function judgeHalves(
  whole: string,
  left: string | undefined,
  right: string | undefined,
): 'search' | 'ask_single' {
  return left === whole && right === whole ? 'ask_single' : 'search';
}
