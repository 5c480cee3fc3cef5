/** About 200 bytes, as a hand-off with a few parameters is. */
export function infoOf(index: number): Readonly<Record<string, unknown>> {
  return {
    customer: index,
    report: 'monthly',
    formats: ['pdf', 'csv'],
    note: 'x'.repeat(120),
    createdAt: '2026-01-01T00:00:00Z',
  };
}

/** Unique over all runs of a process: each hand-off names a data stream of its own. */
export function nameOf(run: number, index: number): string {
  return `run-${run}-${index}`;
}

const CHUNK = 500;

/** Puts a backlog there, before the clock starts: in chunks of 500, as fast as the side at hand does it. */
export async function inChunks(count: number, add: (from: number, to: number) => Promise<unknown>): Promise<void> {
  for (let from = 0; from < count; from += CHUNK) await add(from, Math.min(count, from + CHUNK));
}
