/** Whether one of an endpoint's patterns, in which `*` stands for any text, matches the type; pure, and as the database decides it. */
export function matchesType(patterns: readonly string[], type: string): boolean {
  return patterns.some((pattern) => {
    const [head = '', ...rest] = pattern.split('*');
    const tail = rest.pop();
    if (tail === undefined) return pattern === type;
    if (!type.startsWith(head)) return false;
    let at = head.length;
    for (const part of rest) {
      const found = type.indexOf(part, at);
      if (found < 0) return false;
      at = found + part.length;
    }
    return type.length - tail.length >= at && type.endsWith(tail);
  });
}
