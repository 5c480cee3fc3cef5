import type { ConservationRow, DuplicateDocument } from './conservation.js';

interface Moment {
  readonly atMs: number;
  readonly text: string;
}

/** What a person sees: a live progress line while a phase runs, then its timeline, then the count. */
export class Terminal {
  private readonly moments: Moment[] = [];
  private readonly startedAt = performance.now();
  private lastPlainLineAt = -Infinity;

  constructor(private readonly out: NodeJS.WriteStream) {}

  say(text: string): void {
    this.clearLine();
    this.out.write(`${text}\n`);
  }

  /** One line that rewrites itself; where there is no terminal, a line every three seconds. */
  progress(text: string): void {
    const line = `${this.clock(performance.now())}  ${text}`;
    if (this.out.isTTY) {
      this.clearLine();
      this.out.write(line.slice(0, this.out.columns - 1));
    } else if (performance.now() - this.lastPlainLineAt >= 3_000) {
      this.lastPlainLineAt = performance.now();
      this.out.write(`${line}\n`);
    }
  }

  note(text: string): void {
    this.moments.push({ atMs: performance.now(), text });
  }

  timeline(): void {
    this.say('');
    for (const { atMs, text } of this.moments.splice(0)) this.say(`  ${this.clock(atMs)}  ${text}`);
  }

  table(rows: readonly ConservationRow[]): void {
    this.say('');
    const width = Math.max(...rows.map(({ claim }) => claim.length));
    for (const { claim, expected, found, holds } of rows)
      this.say(`  ${holds ? 'ok ' : 'NOT'}  ${claim.padEnd(width)}  ${expected.padStart(6)}  ${found.padStart(6)}`);
    this.say('');
  }

  duplicates(documents: readonly DuplicateDocument[]): void {
    if (documents.length === 0) return this.say('  No document arrived twice.');
    this.say(`  ${documents.length} documents arrived more than once:`);
    for (const { id, times, wasOpenAtKill } of documents)
      this.say(
        `       ${id}  ${times} times  ${wasOpenAtKill ? 'in a page open at the kill' : 'OUTSIDE any such page'}`,
      );
  }

  private clock(atMs: number): string {
    return `${((atMs - this.startedAt) / 1000).toFixed(1).padStart(6)} s`;
  }

  private clearLine(): void {
    if (this.out.isTTY) this.out.write('\r\x1b[2K');
  }
}
