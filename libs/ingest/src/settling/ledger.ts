import type { Batch } from '../batching/batch.js';
import type { IngestReporter } from '../operating/reporter.js';
import type { DiscardReason, DocumentOutcome } from './receipt.js';
import { honestOutcome } from './honesty.js';
import type { HookCalls } from './hooks.js';
import type { DocumentOwner } from './document-owner.js';

export interface Totals {
  readonly accepted: number;
  readonly discarded: Readonly<Partial<Record<DiscardReason, number>>>;
  readonly unknown: number;
}

/**
 * The one door through which documents settle. Counts, receipts, hooks and the buffer's room all follow from here.
 *
 * - A sealed batch settles once: whoever comes second (an answer after close, a split batch) finds the door shut.
 * - The honesty rule is applied here and nowhere else, so that no caller can forget it.
 * - Room in the buffer is given back before any receipt or hook is told, so that a hook may call the service again.
 */
export class Ledger {
  /** Documents that left the buffer, and their bytes. */
  onRelease: (docs: number, bytes: number) => void = () => undefined;
  private readonly all = noTotals();
  private undelivered: unknown[] | undefined;

  constructor(
    private readonly hooks: HookCalls,
    private readonly reporter: IngestReporter,
  ) {}

  /** Settles every document of the batch in its own way. Does nothing when the batch has settled or was split. */
  settle(batch: Batch, outcomeOf: (line: number) => DocumentOutcome): void {
    this.settleLines(batch, (line) => honestOutcome(outcomeOf(line), batch.ambiguity));
  }

  /** Settles every document of the batch in the same way; one outcome for all of them. Does nothing when the batch has settled or was split. */
  settleAll(batch: Batch, outcome: DocumentOutcome): void {
    const honest = honestOutcome(outcome, batch.ambiguity);
    this.settleLines(batch, () => honest);
  }

  /** A document that was never sealed: refused on its way in, or taken out again. Gives no room back. */
  refuse(
    doc: unknown,
    reason: DiscardReason,
    cause: unknown,
    owner: DocumentOwner | undefined,
    position: number,
  ): void {
    const outcome: DocumentOutcome =
      cause === undefined ? { status: 'discarded', reason } : { status: 'discarded', reason, cause };
    if (owner === undefined) {
      this.count(outcome);
      this.reporter.refused(reason);
      this.hooks.discard(doc, reason);
    } else {
      if (!owner.settle(position, outcome)) return;
      this.count(outcome);
      this.reporter.refused(reason);
    }
  }

  /** A fire-and-forget document that waited for room when the service closed. */
  refuseWaiting(line: string): void {
    const outcome: DocumentOutcome = { status: 'discarded', reason: 'closed' };
    const lost: unknown[] = [];
    this.count(outcome);
    this.reporter.refused('closed');
    this.reportUntracked(() => JSON.parse(line) as unknown, outcome, lost);
    this.handOver(lost);
  }

  /** From here on what is undelivered is collected, for one call of the hook. */
  startCollecting(): void {
    this.undelivered ??= [];
  }

  takeUndelivered(): readonly unknown[] {
    const taken = this.undelivered ?? [];
    if (this.undelivered !== undefined) this.undelivered = [];
    return taken;
  }

  totals(): Totals {
    const { accepted, discarded, unknown } = this.all;
    return { accepted, discarded: { ...discarded }, unknown };
  }

  private settleLines(batch: Batch, outcomeOf: (line: number) => DocumentOutcome): void {
    if (!batch.end()) return;
    this.onRelease(batch.size, batch.byteLength);
    // Its own sums: a hook may hand in, or abort, something that settles meanwhile.
    const settled = noTotals();
    const lost: unknown[] = [];
    for (let line = 0; line < batch.size; line++) {
      const outcome = outcomeOf(line);
      const owner = batch.owner(line);
      if (owner !== undefined) {
        if (owner.settle(batch.position(line), outcome)) this.count(outcome, settled);
        continue;
      }
      this.count(outcome, settled);
      if (outcome.status !== 'accepted') this.reportUntracked(() => batch.parse(line), outcome, lost);
    }
    this.handOver(lost);
    this.report(batch, settled);
  }

  private report(batch: Batch, settled: Totals): void {
    const { size: documents, byteLength: bytes, origin } = batch;
    const maybeDuplicates = batch.ambiguity === undefined ? 0 : settled.accepted;
    this.reporter.batchSettled(
      { documents, bytes, commit: origin.commit, ...settled, maybeDuplicates },
      origin.oldestAtMs,
    );
  }

  private reportUntracked(doc: () => unknown, outcome: DocumentOutcome, lost: unknown[]): void {
    const isOpen = outcome.status === 'unknown' || (outcome.status === 'discarded' && outcome.reason === 'closed');
    if (isOpen && this.hooks.wantsUndelivered) lost.push(doc());
    if (outcome.status === 'discarded' && this.hooks.wantsDiscarded) this.hooks.discard(doc(), outcome.reason);
  }

  private handOver(lost: readonly unknown[]): void {
    if (this.undelivered === undefined) this.hooks.undelivered(lost);
    else for (const doc of lost) this.undelivered.push(doc);
  }

  private count(outcome: DocumentOutcome, ofBatch?: Sums): void {
    add(this.all, outcome);
    if (ofBatch !== undefined) add(ofBatch, outcome);
  }
}

interface Sums {
  accepted: number;
  readonly discarded: Partial<Record<DiscardReason, number>>;
  unknown: number;
}

function noTotals(): Sums {
  return { accepted: 0, discarded: {}, unknown: 0 };
}

function add(sums: Sums, outcome: DocumentOutcome): void {
  if (outcome.status === 'discarded') sums.discarded[outcome.reason] = (sums.discarded[outcome.reason] ?? 0) + 1;
  else sums[outcome.status]++;
}

/** What `later` has beyond `earlier`. */
export function totalsSince(earlier: Totals, later: Totals): Totals {
  const discarded: Partial<Record<DiscardReason, number>> = {};
  for (const [reason, count] of Object.entries(later.discarded) as [DiscardReason, number][]) {
    const more = count - (earlier.discarded[reason] ?? 0);
    if (more > 0) discarded[reason] = more;
  }
  return { accepted: later.accepted - earlier.accepted, discarded, unknown: later.unknown - earlier.unknown };
}
