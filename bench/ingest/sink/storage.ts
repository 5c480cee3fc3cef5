const NEWLINE = 10;
const MAX_IDS = 1_000_000;
const ID = /"id":(\d+)/g;

/** What the sink was given: how much of it, and, when asked to, how often each document. */
export class Storage {
  requests = 0;
  documents = 0;
  bytes = 0;
  private times: Uint8Array | undefined;

  reset(keepsIds: boolean): void {
    this.requests = this.documents = this.bytes = 0;
    this.times = keepsIds ? new Uint8Array(MAX_IDS) : undefined;
  }

  /** `linesPerDocument` is 2 where an action precedes each document. */
  store(body: Buffer, linesPerDocument: 1 | 2, isLeftOut: (document: number) => boolean = () => false): void {
    this.requests++;
    this.bytes += body.length;
    if (this.times === undefined) {
      this.documents += countLines(body) / linesPerDocument;
      return;
    }
    let document = 0;
    for (const [, id] of body.toString('latin1').matchAll(ID)) {
      if (isLeftOut(document++)) continue;
      this.documents++;
      const at = Number(id);
      this.times[at] = (this.times[at] ?? 0) + 1;
    }
  }

  /** How often each of the first `count` ids was stored, a byte each. */
  timesStored(count: number): Uint8Array {
    return (this.times ?? new Uint8Array(count)).subarray(0, count);
  }
}

export function countLines(body: Buffer): number {
  let lines = 0;
  for (let at = body.indexOf(NEWLINE); at !== -1; at = body.indexOf(NEWLINE, at + 1)) lines++;
  return lines;
}
