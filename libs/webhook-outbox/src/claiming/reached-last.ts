/**
 * Of endpoints that had their turn on the way round the circle of ids from behind `after`, the one that was reached last; `after` itself for none. In whatever
 * order they are given: the rows of a statement that updates and joins come as its plan has it. Pure.
 */
export function reachedLast(turns: readonly { readonly endpointId: string }[], after: string): string {
  const ids = turns.map(({ endpointId }) => endpointId);
  const roundTheEnd = ids.filter((id) => id <= after);
  return highest(roundTheEnd.length > 0 ? roundTheEnd : ids) ?? after;
}

function highest(ids: readonly string[]): string | undefined {
  return ids.reduce<string | undefined>((most, id) => (most === undefined || id > most ? id : most), undefined);
}
