/** One thing that should not be. */
export interface Violation<Kind extends string = string> {
  readonly kind: Kind;
  /** The document, delivery, hand-off, run or data stream that it is about. */
  readonly id: string;
  /** What is wrong with it, as half a sentence that follows the id. */
  readonly detail: string;
}

/** Enough to see a pattern; a broken run of 200 000 documents must not fill the terminal. */
const MOST_SHOWN = 10;
/** An id may be a whole document. */
const MAX_ID_LENGTH = 120;

/** A paragraph for each kind, naming the first ids and how many more there are. Pure. */
export function describeViolations(subject: string, violations: readonly Violation[]): string {
  if (violations.length === 0) return `${subject}: nothing is wrong.`;
  const byKind = new Map<string, { count: number; readonly lines: string[] }>();
  for (const { kind, id, detail } of violations) {
    const group = byKind.get(kind) ?? { count: 0, lines: [] };
    byKind.set(kind, group);
    if (group.count++ < MOST_SHOWN) group.lines.push(`    ${shortened(id)}: ${detail}`);
  }
  const paragraphs = [...byKind].map(([kind, { count, lines }]) => {
    const rest = count > MOST_SHOWN ? [`    and ${count - MOST_SHOWN} more`] : [];
    return [`  ${kind} (${count})`, ...lines, ...rest].join('\n');
  });
  return [`${subject}: ${violations.length} violation${violations.length === 1 ? '' : 's'}`, ...paragraphs].join('\n');
}

function shortened(id: string): string {
  return id.length <= MAX_ID_LENGTH ? id : `${id.slice(0, MAX_ID_LENGTH)}…`;
}
