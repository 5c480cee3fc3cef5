import type { DocumentOutcome, IngestReceipt, IngestService } from '@nest-baton/ingest';
import { assertConservation, type ConservationReport, type FakeQuickwit } from '@nest-baton/testing';
import { INDEX } from './bench.js';

/** What callers, hooks and events were told of each document. Ids are numbers in the field `id`. */
export class Verdicts {
  readonly admitted: number[] = [];
  /** Of fire-and-forget documents. */
  readonly told = { discarded: [] as [id: number, reason: string][], undelivered: [] as number[] };
  maybeDuplicates = 0;
  private readonly receipts: { readonly ids: readonly number[]; readonly receipt: IngestReceipt }[] = [];
  private readonly plain: number[] = [];

  /** To be given to the service. */
  readonly hooks = {
    onDiscard: (doc: unknown, reason: string): void => void this.told.discarded.push([idOf(doc), reason]),
    onUndelivered: (docs: readonly unknown[]): void => void this.told.undelivered.push(...docs.map(idOf)),
  };

  watch(service: IngestService<never>): void {
    service.on('batchSettled', ({ maybeDuplicates }) => (this.maybeDuplicates += maybeDuplicates));
  }

  track(docs: readonly { readonly id: number }[], receipt: IngestReceipt): IngestReceipt {
    const ids = docs.map(({ id }) => id);
    this.admitted.push(...ids);
    this.receipts.push({ ids, receipt });
    return receipt;
  }

  forget(docs: readonly { readonly id: number }[]): void {
    for (const { id } of docs) {
      this.admitted.push(id);
      this.plain.push(id);
    }
  }

  get unsettled(): number {
    return this.receipts.filter(({ receipt }) => !receipt.settled).length;
  }

  async outcomes(): Promise<ReadonlyMap<number, DocumentOutcome>> {
    const all = new Map<number, DocumentOutcome>();
    for (const { ids, receipt } of this.receipts)
      (await receipt.outcomes).forEach((outcome, i) => all.set(ids[i] ?? NaN, outcome));
    return all;
  }

  /**
   * Every document has ended in one state, and the sink agrees with it. Of fire-and-forget documents only those that are lost are told of:
   * the others must be there, and their duplicates are counted by events, not named.
   */
  async check(sink: FakeQuickwit): Promise<ConservationReport> {
    const ended = { accepted: [] as string[], discarded: [] as string[], unknown: [] as string[] };
    const mayRepeat: string[] = [];
    for (const [id, outcome] of await this.outcomes()) {
      ended[outcome.status].push(String(id));
      if (outcome.status === 'unknown' || (outcome.status === 'accepted' && outcome.maybeDuplicate))
        mayRepeat.push(String(id));
    }
    const discarded = new Set(this.told.discarded.map(([id]) => id));
    const undelivered = new Set(this.told.undelivered);
    for (const id of this.plain)
      ended[discarded.has(id) ? 'discarded' : undelivered.has(id) ? 'unknown' : 'accepted'].push(String(id));
    const seen = sink.documents(INDEX).map(({ id }) => String(id));
    const repeated = this.plain.length > 0 && this.maybeDuplicates > 0 ? this.plain.map(String) : [];
    return assertConservation({
      what: 'documents',
      admitted: this.admitted.map(String),
      ended,
      effects: {
        stored: {
          seen,
          requiredFor: ['accepted'],
          forbiddenFor: ['discarded'],
          mayRepeat: [...mayRepeat, ...repeated],
        },
      },
    });
  }

  /** Documents that the sink has more than once. */
  repeatedIn(sink: FakeQuickwit): number {
    return [...sink.counts(INDEX).values()].filter((count) => count > 1).length;
  }
}

function idOf(doc: unknown): number {
  return (doc as { readonly id: number }).id;
}
