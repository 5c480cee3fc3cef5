const NEWLINE = 10;
const MAX_IDS = 1_000_000;
const ID = /"id":(\d+)/g;

/** What the sink remembers of a request: nothing but that it came, how much it was, or how often each document came. */
export const KEEPS = ['nothing', 'counts', 'ids'] as const;

export type Keeps = (typeof KEEPS)[number];

export function isKeeps(text: string): text is Keeps {
  return (KEEPS as readonly string[]).includes(text);
}

/** What the sink was given: how much of it, and, when asked to, how often each document. */
export class Storage {
  requests = 0;
  documents = 0;
  bytes = 0;
  private times: Uint8Array | undefined;

  reset(keeps: Keeps): void {
    this.requests = this.documents = this.bytes = 0;
    this.times = keeps === 'ids' ? new Uint8Array(MAX_IDS) : undefined;
  }

  count(documents: number, bytes: number): void {
    this.requests++;
    this.documents += documents;
    this.bytes += bytes;
  }

  /** As `count`, but for the documents that are left out; each of the others is known afterwards. */
  store(body: Buffer, isLeftOut: (document: number) => boolean = () => false): void {
    let document = 0;
    let stored = 0;
    for (const [, id] of body.toString('latin1').matchAll(ID)) {
      if (isLeftOut(document++)) continue;
      stored++;
      const at = Number(id);
      if (this.times !== undefined) this.times[at] = (this.times[at] ?? 0) + 1;
    }
    this.count(stored, body.length);
  }

  /** How often each of the first `count` ids was stored, a byte each. */
  timesStored(count: number): Uint8Array {
    return (this.times ?? new Uint8Array(count)).subarray(0, count);
  }
}

/** Lines of a body that comes in pieces; the last one may lack its line break, as InfluxDB's do. */
export class LineCount {
  bytes = 0;
  private breaks = 0;
  private endsOpen = false;

  add(chunk: Buffer): this {
    this.bytes += chunk.length;
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, at + 1)) this.breaks++;
    this.endsOpen = chunk.length > 0 ? chunk.at(-1) !== NEWLINE : this.endsOpen;
    return this;
  }

  get lines(): number {
    return this.breaks + (this.endsOpen ? 1 : 0);
  }
}
