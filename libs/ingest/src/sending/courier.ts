import type { Batch } from '../batching/batch.js';
import type { DocumentOutcome } from '../settling/receipt.js';
import type { IngestReporter } from '../operating/reporter.js';
import type { Ledger } from '../settling/ledger.js';
import type { Delivery, Verdict } from './delivery.js';
import { ISOLATION_BUDGET, judgeHalves } from './isolation.js';
import { matchFailures, type ParseFailure } from '../answers/match-failures.js';
import { acceptedOutcome, outcomeOfItem, rejectedOutcome } from '../answers/outcomes.js';
import type { ItemVerdict } from '../answers/reading.js';

type Refused = Extract<Verdict, { readonly kind: 'refused' }>;

type RetriedItem = Extract<ItemVerdict, { readonly kind: 'retry' }>;

/** What is still to be tried. */
interface Again {
  readonly kind: 'again';
  readonly batch: Batch;
}

interface Search {
  requestsLeft: number;
  readonly detailed: boolean;
}

interface Part<Item> {
  readonly batch: Batch;
  /** What was said of each of its documents. */
  readonly items: readonly Item[];
}

/** Failures that a report quotes. */
const MAX_QUOTED = 10;

/**
 * Takes a batch to its end: every document of it has settled when `deliver` resolves. Splits run one after the other in the batch's own
 * place, so the order of documents survives, and a bad batch never takes more than one request at a time.
 */
export class Courier {
  constructor(
    private readonly index: string,
    private readonly delivery: Delivery,
    private readonly ledger: Ledger,
    private readonly reporter: IngestReporter,
  ) {}

  async deliver(batch: Batch): Promise<void> {
    // A loop: a server may refuse documents for days, and each try within the last one would keep all before it in memory.
    for (let next: Batch | undefined = batch; next !== undefined;) next = await this.deliverOnce(next);
  }

  /** @returns what is to be tried again. */
  private async deliverOnce(batch: Batch): Promise<Batch | undefined> {
    const tried = await this.tryWhole(batch);
    if (tried?.kind === 'refused') await this.isolate(batch, tried);
    return tried?.kind === 'again' ? tried.batch : undefined;
  }

  /** As `tryPart`; a 400 is first asked again without details, since that is how an old server says that it has none. */
  private async tryWhole(batch: Batch): Promise<(Refused & { readonly search: Search }) | Again | undefined> {
    const detailed = this.delivery.asksForDetails();
    const first = await this.tryPart(batch, detailed);
    if (first?.kind !== 'refused') return first;
    const search = { requestsLeft: ISOLATION_BUDGET - 1, detailed };
    if (!detailed || first.status !== 400) return { ...first, search };
    const second = await this.tryPart(batch, false, () => this.delivery.rememberNoDetails());
    if (second?.kind !== 'refused') return second;
    return { ...second, search: { requestsLeft: ISOLATION_BUDGET - 2, detailed: second.message === first.message } };
  }

  /** Sends and settles, or returns the refusal of a batch that is still whole, or the documents that are to be tried again. */
  private async tryPart(
    batch: Batch,
    detailed: boolean,
    onAccepted?: () => void,
  ): Promise<Refused | Again | undefined> {
    const verdict = await this.attempt(batch, detailed);
    switch (verdict.kind) {
      case 'accepted':
        onAccepted?.();
        this.settleAccepted(batch, verdict.rejected, verdict.failures);
        return undefined;
      case 'judged':
        return this.settleJudged(batch, verdict.items);
      case 'too_large':
        if (batch.size === 1) this.discardAll(batch, 'too_large', verdict.cause);
        else for (const part of batch.split(batch.size >> 1)) await this.deliver(part);
        return undefined;
      case 'refused':
        return verdict;
      case 'denied':
        this.discardAll(batch, 'server', verdict.cause);
        return undefined;
      case 'unknown':
        this.settleAll(batch, { status: 'unknown', cause: verdict.cause });
        return undefined;
      case 'closed':
        this.discardAll(batch, 'closed', undefined);
        return undefined;
    }
  }

  /** A defect of ours, such as a compression that fails, must leave nobody waiting: nobody knows, then. */
  private async attempt(batch: Batch, detailed: boolean): Promise<Verdict> {
    try {
      return await this.delivery.attempt(batch, detailed);
    } catch (error) {
      return { kind: 'unknown', cause: error };
    }
  }

  /** A lone document has nothing to be compared with, and a wrong request must not pass for a wrong document: `server`. */
  private async isolate(batch: Batch, refused: Refused & { readonly search: Search }): Promise<void> {
    const { search } = refused;
    if (batch.size === 1) return this.discardAll(batch, 'server', refused.cause);
    const [left, right] = batch.split(batch.size >> 1);
    const leftRefused = await this.spend(left, search);
    const rightRefused = await this.spend(right, search);
    if (judgeHalves(refused.message, leftRefused?.message, rightRefused?.message) === 'search') {
      if (leftRefused !== undefined) await this.search(left, leftRefused, search);
      if (rightRefused !== undefined) await this.search(right, rightRefused, search);
      return;
    }
    const isSingle = left.size === 1;
    const [single, rest] = isSingle ? [left, undefined] : left.split(1);
    const singleRefused = isSingle ? leftRefused : await this.spend(single, search);
    if (singleRefused !== undefined && singleRefused.message === refused.message) {
      for (const part of [single, rest, right]) if (part !== undefined) this.discardAll(part, 'server', refused.cause);
      return;
    }
    if (singleRefused !== undefined) await this.search(single, singleRefused, search);
    if (rest !== undefined) {
      const restRefused = await this.spend(rest, search);
      if (restRefused !== undefined) await this.search(rest, restRefused, search);
    }
    if (rightRefused !== undefined) await this.search(right, rightRefused, search);
  }

  /** The documents are known to be at fault: halve until each guilty one stands alone, or the budget is spent. */
  private async search(batch: Batch, refused: Refused, search: Search): Promise<void> {
    if (batch.size === 1) {
      this.reporter.rejected(
        this.rejectReport(1, 1, 0, [{ reason: `status ${refused.status}`, message: refused.message }]),
      );
      return this.discardAll(batch, 'rejected', refused.cause);
    }
    for (const part of batch.split(batch.size >> 1)) {
      if (search.requestsLeft <= 0) {
        this.discardAll(part, 'server', refused.cause);
        continue;
      }
      const partRefused = await this.spend(part, search);
      if (partRefused !== undefined) await this.search(part, partRefused, search);
    }
  }

  private async spend(part: Batch, search: Search): Promise<Refused | undefined> {
    search.requestsLeft--;
    const tried = await this.tryPart(part, search.detailed);
    if (tried?.kind !== 'again') return tried;
    await this.deliver(tried.batch);
    return undefined;
  }

  /** 200, the only success. Which documents the server rejected is told by their bytes, as far as it can be told. */
  private settleAccepted(batch: Batch, rejected: number, failures: readonly ParseFailure[]): void {
    if (rejected === 0) return this.settleAll(batch, acceptedOutcome('document'));
    const matched = matchFailures(batch.size, (line) => batch.line(line), failures);
    const isAll = rejected === batch.size;
    const unattributed = isAll ? 0 : rejected - matched.size;
    const rest = isAll ? rejectedOutcome(undefined) : acceptedOutcome(unattributed > 0 ? 'batch' : 'document');
    const report = this.rejectReport(batch.size, rejected, unattributed, failures);
    this.ledger.settle(batch, (line) => {
      const failure = matched.get(line);
      return failure === undefined ? rest : rejectedOutcome(failure);
    });
    this.reporter.rejected(report);
  }

  /** A verdict for each document. What the server could not take now is tried again by itself, never along with what it has judged. */
  private async settleJudged(batch: Batch, items: readonly ItemVerdict[]): Promise<Again | undefined> {
    const [again, judged] = pick({ batch, items }, isRetried);
    if (judged !== undefined) this.settleItems(judged.batch, judged.items);
    if (again === undefined) return undefined;
    const retried = { batch: again.batch, items: again.items.filter(isRetried) };
    const [ambiguous, certain] = pick(retried, ({ isAmbiguous }) => isAmbiguous);
    if (ambiguous === undefined || certain === undefined) return this.beforeNext(retried);
    const first = await this.beforeNext(ambiguous);
    if (first !== undefined) await this.deliver(first.batch);
    return this.beforeNext(certain);
  }

  private async beforeNext({ batch, items: [item] }: Part<RetriedItem>): Promise<Again | undefined> {
    if (item === undefined) return undefined;
    const { cause, isAmbiguous } = item;
    if (isAmbiguous && this.delivery.markAmbiguous(batch, cause)) {
      this.settleAll(batch, { status: 'unknown', cause });
      return undefined;
    }
    await this.delivery.backOff(batch, { cause, isAmbiguous, retryAfterMs: undefined });
    return { kind: 'again', batch };
  }

  private settleItems(batch: Batch, items: readonly ItemVerdict[]): void {
    const rejections = items.filter((item) => item.kind === 'rejected');
    const denials = items.filter((item) => item.kind === 'denied');
    this.ledger.settle(batch, (line) => outcomeOfItem(items[line] as Exclude<ItemVerdict, RetriedItem>));
    if (rejections.length > 0) this.reporter.rejected(this.rejectReport(batch.size, rejections.length, 0, rejections));
    const [denial] = denials;
    if (denial !== undefined)
      this.reporter.itemsDenied({ documents: denials.length, status: denial.status, cause: denial.cause });
  }

  private discardAll(batch: Batch, reason: 'too_large' | 'server' | 'closed' | 'rejected', cause: unknown): void {
    this.settleAll(batch, { status: 'discarded', reason, ...(cause === undefined ? {} : { cause }) });
  }

  private settleAll(batch: Batch, outcome: DocumentOutcome): void {
    this.ledger.settleAll(batch, outcome);
  }

  private rejectReport(
    documents: number,
    rejected: number,
    unattributed: number,
    failures: readonly { readonly reason: string; readonly message: string }[],
  ) {
    const quoted = failures.slice(0, MAX_QUOTED).map(({ reason, message }) => ({ reason, message }));
    return { index: this.index, documents, rejected, unattributed, failures: quoted };
  }
}

function isRetried(item: ItemVerdict): item is RetriedItem {
  return item.kind === 'retry';
}

/** The documents for which `isPicked` holds, as a batch of their own, and the rest. `undefined`: there are none. */
function pick<Item>(
  { batch, items }: { readonly batch: Batch; readonly items: readonly Item[] },
  isPicked: (item: Item) => boolean,
): readonly [picked: Part<Item> | undefined, rest: Part<Item> | undefined] {
  const picked = items.filter(isPicked);
  if (picked.length === 0) return [undefined, { batch, items }];
  if (picked.length === items.length) return [{ batch, items }, undefined];
  const isLinePicked = items.map(isPicked);
  const [one, other] = batch.divide((line) => isLinePicked[line] === true);
  return [
    { batch: one, items: picked },
    { batch: other, items: items.filter((_, line) => isLinePicked[line] !== true) },
  ];
}
