/** One entry of Quickwit's `parse_failures`. It names no position, only the text of the document. */
export interface ParseFailure {
  readonly reason: string;
  readonly message: string;
  readonly document: string | undefined;
}

/**
 * Which of `size` lines the failures speak of, by their exact bytes as a multiset; pure. Identical documents are interchangeable: two failures
 * for a text that was sent three times are its first two lines. A failure whose text was not sent, or too often named, matches nothing.
 */
export function matchFailures(
  size: number,
  lineAt: (line: number) => Buffer,
  failures: readonly ParseFailure[],
): ReadonlyMap<number, ParseFailure> {
  const wanted = new Map<string, ParseFailure[]>();
  const lengths = new Set<number>();
  for (const failure of failures) {
    if (failure.document === undefined) continue;
    const bytes = Buffer.from(failure.document, 'utf8');
    lengths.add(bytes.length);
    const key = bytes.toString('latin1');
    const same = wanted.get(key);
    if (same === undefined) wanted.set(key, [failure]);
    else same.push(failure);
  }
  const matched = new Map<number, ParseFailure>();
  for (let line = 0; line < size && wanted.size > 0; line++) {
    const bytes = lineAt(line);
    if (!lengths.has(bytes.length)) continue;
    const failure = wanted.get(bytes.toString('latin1'))?.shift();
    if (failure !== undefined) matched.set(line, failure);
  }
  return matched;
}
