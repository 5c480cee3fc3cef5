/** The known name that a misspelt one most likely meant, or `undefined` when none is near: at most two letters or a third of it differ. */
export function nearestName(given: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Infinity;
  for (const name of known) {
    const distance = editDistance(given.toLowerCase(), name.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [name, distance];
  }
  if (best === undefined || bestDistance > Math.max(2, Math.floor(best.length / 3))) return undefined;
  // Of a name of two letters, two letters that differ are all.
  return bestDistance < best.length ? best : undefined;
}

/** Sentence for an unknown name, with the nearest known one where there is one. */
export function unknownName(kind: string, given: string, known: Iterable<string>): string {
  const nearest = nearestName(given, known);
  return `unknown ${kind} ${given}${nearest === undefined ? '' : `; did you mean ${nearest}?`}`;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(substitution, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}
